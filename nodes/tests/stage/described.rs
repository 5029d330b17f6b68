//! Whether answers are as the interface's description says.

use serde_json::{Map, Value};

/// Whether `value` is as `schema` (JSON Schema 2020-12, as far as OpenAPI documents use it) says,
/// and has no member that it does not describe.
pub fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema =
            document.pointer(reference.trim_start_matches('#')).ok_or("a dangling $ref")?;
        return fits(document, schema, value);
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let any = choices.iter().any(|schema| fits(document, schema, value).is_ok());
            return if any { Ok(()) } else { Err(format!("{value} is none of the {choice}")) };
        }
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{value} is not one of {values:?}"));
    }
    let types = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Err(format!("nothing says what {value} is")),
    };
    if !types.contains(&type_of(value)) {
        return Err(format!("{value} is none of {types:?}"));
    }
    match value {
        Value::Object(members) => members_fit(document, schema, members),
        Value::Array(items) => {
            items.iter().try_for_each(|item| fits(document, &schema["items"], item))
        }
        _ => Ok(()),
    }
}

fn members_fit(
    document: &Value,
    schema: &Value,
    members: &Map<String, Value>,
) -> Result<(), String> {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    members.iter().try_for_each(|(name, value)| match &schema["properties"][name] {
        Value::Null => Err(format!("{name} is not described")),
        schema => fits(document, schema, value).map_err(|why| format!("{name}: {why}")),
    })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

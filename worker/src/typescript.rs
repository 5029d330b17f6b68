//! `client/types.ts`, generated from [`crate::views`] and [`crate::commands`].

use std::path::Path;

use hdms::Error;
use ts_rs::Config;

use crate::{commands, views};

#[test]
fn the_types_of_the_package_are_those_of_the_worker() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("client/types.ts");
    let generated = typescript();
    if std::env::var_os("HDMS_WRITE_TYPES").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "client/types.ts is not what the worker says: run `HDMS_WRITE_TYPES=1 cargo test -p hdms-worker`"
    );
}

fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = String::from(
        "// Generated from the worker's views and commands; see worker/src/typescript.rs.\n",
    );
    let declarations =
        views::declarations(&config).into_iter().chain(commands::declarations(&config));
    for (docs, declaration) in declarations {
        text += &format!("\n{}export {declaration}\n", docs.unwrap_or_default());
    }
    text + &interface(&config) + &errors()
}

/// The node as its commands make it.
fn interface(config: &Config) -> String {
    let methods = commands::methods(config);
    let mut text = "\n/** The node. Every method may be repeated safely. */\nexport interface PersonalNode {\n".to_owned();
    for method in &methods {
        let options: Vec<_> =
            method.options.iter().map(|options| format!("options: {options}")).collect();
        let (docs, name, options) = (method.docs.trim(), method.name, options.concat());
        text += &format!("  /** {docs} */\n  {name}({options}): Promise<{}>;\n", method.reply);
    }
    let names: Vec<_> = methods.iter().map(|method| format!("  {:?},\n", method.name)).collect();
    text + "}\n\n/** The name of every method. */\nexport const methods = [\n"
        + &names.concat()
        + "] as const satisfies readonly (keyof PersonalNode)[];\n"
}

fn errors() -> String {
    let codes: Vec<_> =
        Error::ALL.iter().map(|error| format!("  | {:?}\n", error.code())).collect();
    let sentence = |error: &Error| format!("  {:?}: {:?},\n", error.code(), error.sentence());
    let sentences: Vec<_> = Error::ALL.iter().map(sentence).collect();
    format!(
        "\n/** The stable code of every refusal. */\nexport type ErrorCode =\n{};\n\n\
         /** What happened and what to do about it. */\n\
         export const sentences: Record<ErrorCode, string> = {{\n{}}};\n",
        codes.concat().trim_end(),
        sentences.concat()
    )
}

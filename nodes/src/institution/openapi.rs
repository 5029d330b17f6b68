//! The description of the REST interface, OpenAPI 3.1, at `/openapi.json`.

use axum::Json;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, Object, OpenApi as OpenApiDocument, Ref, RefOr, Required, ResponseBuilder,
    Schema, Type,
};
use utoipa::{Modify, OpenApi};

use super::outcome::FHIR_JSON;
use super::{api, case_view, shared_view, verification, views, warnings};
use crate::base::http::problem::{MEDIA_TYPE, ProblemDocument};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "HDMS institution",
        description = "What a hospital's information system asks of its HDMS node. Refusals are \
            application/problem+json with a stable `code`; on the paths of results, which speak \
            FHIR, an OperationOutcome. All codes: docs/protocol.md, 14. Every call may be repeated. \
            A body may have 64 KB, a result 32 MB."
    ),
    paths(
        api::node,
        api::cases,
        api::case,
        api::approve,
        api::refuse,
        api::ask_for_data,
        api::hand_in_results,
        api::result,
        api::shared,
        api::outbox,
        api::undelivered,
        api::quarantine,
        verification::verify,
        warnings::warnings,
        warnings::dismiss,
        api::events,
    ),
    components(schemas(
        ProblemDocument,
        case_view::CaseView,
        shared_view::SharedView,
        views::OutboxView,
        views::UndeliveredView,
        views::QuarantineView,
        verification::VerificationView,
        warnings::WarningsView,
    )),
    security(("api-key" = [])),
    modifiers(&ApiKeyScheme, &PathParameters, &Refusals)
)]
struct Document;

struct ApiKeyScheme;

impl Modify for ApiKeyScheme {
    fn modify(&self, document: &mut OpenApiDocument) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("api-key", SecurityScheme::Http(scheme));
    }
}

/// What the paths name.
const NAMED: [(&str, &str); 3] =
    [("case", "The case, a UUIDv7"), ("entry", "The result, a UUIDv7"), ("node", "The node's id")];

/// Describes the parts of the paths that differ.
struct PathParameters;

impl Modify for PathParameters {
    fn modify(&self, document: &mut OpenApiDocument) {
        for (path, item) in &mut document.paths.paths {
            let named = NAMED.iter().filter(|(name, _)| path.contains(&format!("{{{name}}}")));
            let parameters = named.map(|(name, meaning)| {
                ParameterBuilder::new()
                    .name(*name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .description(Some(*meaning))
                    .schema(Some(Object::with_type(Type::String)))
                    .build()
            });
            item.parameters = Some(parameters.map(RefOr::from).collect());
        }
    }
}

/// Describes every refusal: on the paths of results as FHIR has it.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut OpenApiDocument) {
        for (path, item) in &mut document.paths.paths {
            let (media_type, schema) = match path.contains("/results") {
                true => (FHIR_JSON, Object::with_type(Type::Object).into()),
                false => (MEDIA_TYPE, Ref::from_schema_name("ProblemDocument").into()),
            };
            let content = ContentBuilder::new().schema::<RefOr<Schema>>(Some(schema)).build();
            let refused = ResponseBuilder::new()
                .description("Refused: the code says why, and the sentence what to do")
                .content(media_type, content)
                .build();
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                operation.responses.responses.insert("default".into(), refused.clone().into());
            }
        }
    }
}

/// The document.
pub async fn document() -> Json<OpenApiDocument> {
    Json(Document::openapi())
}

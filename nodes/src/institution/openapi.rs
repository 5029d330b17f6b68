//! The description of the REST interface, OpenAPI 3.1, at `/openapi.json`.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{api, case_view, shared_view, verification, views, warnings};
use crate::problem::ProblemDocument;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "HDMS institution",
        description = "What a hospital's information system asks of its HDMS node. Refusals are \
            application/problem+json with a stable `code`; on the paths of results, which speak \
            FHIR, an OperationOutcome."
    ),
    paths(
        api::node,
        api::cases,
        api::case,
        api::approve,
        api::refuse,
        api::ask_for_data,
        api::hand_in,
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
    modifiers(&ApiKeyScheme)
)]
struct Document;

struct ApiKeyScheme;

impl Modify for ApiKeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("api-key", SecurityScheme::Http(scheme));
    }
}

/// The document.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

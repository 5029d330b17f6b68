//! What the hospital is told of others' keys that changed without a word of their old ones.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use hdms::Error;
use hdms::ids::NodeId;
use hdms::network::KeyWarning;
use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use crate::base::http::problem::Problem;

/// Warnings that nobody has dismissed.
#[derive(Debug, Serialize, ToSchema)]
pub struct WarningsView {
    /// Oldest first.
    pub warnings: Vec<WarningView>,
}

/// A listed node has other keys than before, and its old key has not said so: whoever runs it is to
/// be asked by another way.
#[derive(Debug, Serialize, ToSchema)]
pub struct WarningView {
    /// Node id.
    pub node: String,
    /// How it is called.
    pub name: String,
    /// Node id of the one that was listed in its place before; null when it is the same node.
    pub former: Option<String>,
    /// When it was noticed, milliseconds since 1970.
    pub seen: u64,
}

impl From<KeyWarning> for WarningView {
    fn from(KeyWarning { node, name, former, seen }: KeyWarning) -> Self {
        Self { node: node.into(), name, former: former.map(Into::into), seen: seen.0 }
    }
}

/// Nodes whose keys changed without a word of their old ones.
#[utoipa::path(get, path = "/api/warnings", responses((status = 200, body = WarningsView)))]
pub async fn warnings(State(desk): State<Desk>) -> Result<Json<WarningsView>, Problem> {
    let warnings = desk.node.platform().member().warnings().await?;
    Ok(Json(WarningsView { warnings: warnings.into_iter().map(Into::into).collect() }))
}

/// Somebody has asked the node by another way: the warnings about it are done with.
#[utoipa::path(post, path = "/api/warnings/{node}/dismissal", responses((status = 204)))]
pub async fn dismiss(
    State(desk): State<Desk>,
    Path(node): Path<String>,
) -> Result<StatusCode, Problem> {
    let node: NodeId = node.parse().map_err(|_| Error::NodeUnknown)?;
    desk.node.platform().member().dismiss(&node).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! The handlers of resources that are shown as they are stored, and of whatever is deleted.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};

use crate::api::{
    State,
    crud::{self, Managed},
    error::Result,
    http::{body::Object, empty, json},
};

pub(super) async fn create<R: Managed>(
    Extract(state): Extract<State>,
    Object(body): Object,
) -> Result<Response> {
    Ok(json(StatusCode::CREATED, &crud::create::<R>(&state, &body).await?))
}

pub(super) async fn show<R: Managed>(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<Response> {
    Ok(json(StatusCode::OK, &crud::show::<R>(&state, &id).await?))
}

pub(super) async fn update<R: Managed>(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    Object(body): Object,
) -> Result<Response> {
    let (resource, _) = crud::update::<R>(&state, &id, &body, |_, _| Ok(())).await?;
    Ok(json(StatusCode::OK, &resource))
}

pub(super) async fn destroy<R: Managed>(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<Response> {
    crud::delete::<R>(&state, &id).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

//! The OpenAPI document, generated from the same list of routes that the router is made of.
//!
//! It is committed as `docs/openapi.json`; a test compares. `UPDATE_OPENAPI=1 cargo nextest run openapi` writes it.

use std::sync::OnceLock;

use axum::http::Method;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, Content, HttpMethod, Info, OpenApi, OpenApiBuilder, Paths, RefOr, ResponseBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{auth::Access, endpoint::Endpoint, resources};

/// The body of a refusal.
#[derive(ToSchema)]
#[allow(dead_code, reason = "a description of what error.rs writes")]
struct Refusal {
    error: String,
    /// The rules that were broken, with 422.
    failures: Option<Vec<Broken>>,
    /// The query parameter in question.
    parameter: Option<String>,
    /// The type it must have.
    restriction: Option<String>,
}

/// A rule that was broken; `reason` reads after the field's name.
#[derive(ToSchema)]
#[allow(dead_code, reason = "a description of model::Failure")]
struct Broken {
    field: String,
    reason: String,
}

/// The document as JSON text.
pub fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = serde_json::to_string_pretty(&build()).unwrap_or_default();
        text.push('\n');
        text
    })
}

fn build() -> OpenApi {
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new()
        .schema(Refusal::name(), Refusal::schema())
        .schema("Broken", Broken::schema())
        .security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
        .security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
    for mut endpoint in resources::endpoints() {
        complete(&mut endpoint);
        for (name, schema) in endpoint.schemas {
            components = components.schema(name, schema);
        }
        let method = http_method(&endpoint.method);
        let item = PathItem::new(method, endpoint.operation);
        match paths.paths.get_mut(endpoint.path) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(endpoint.path.to_owned(), item)),
        }
    }
    let mut info = Info::new("Headend control API", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The PlaceOS engine API for the resources that Headend has, and what Headend has beyond it. \
         See docs/control-api.md for conventions and the WebSocket's messages."
            .to_owned(),
    );
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

/// What follows from the declaration: id, tag, path parameters, security, refusals.
fn complete(endpoint: &mut Endpoint) {
    let operation: &mut Operation = &mut endpoint.operation;
    operation.operation_id = Some(operation_id(&endpoint.method, endpoint.path));
    let resource = endpoint.path.trim_start_matches("/api/engine/v2").trim_start_matches('/');
    let tag = resource.split('/').next().filter(|tag| !tag.is_empty()).unwrap_or("root");
    operation.tags = Some(vec![tag.to_owned()]);
    let named = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in named {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(utoipa::openapi::Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
    }
    let access = match endpoint.access {
        Access::Public => "Public.",
        Access::User => "For any valid key.",
        Access::Support => "For support and admin.",
        Access::Admin => "For admin.",
    };
    operation.description = Some(access.to_owned());
    let refusal = |meaning: &str| {
        let content = Content::new(Some(utoipa::openapi::Ref::from_schema_name(Refusal::name())));
        RefOr::T(ResponseBuilder::new().description(meaning).content("application/json", content).build())
    };
    if endpoint.access == Access::Public {
        return;
    }
    let keys = ["api_key", "bearer"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
    operation.security = Some(keys.into());
    let forbidden = ResponseBuilder::new().description("Not allowed; no body").build();
    operation.responses.responses.entry("403".to_owned()).or_insert(RefOr::T(forbidden));
    let has_body = operation.request_body.is_some();
    let mut add = |status: &str, meaning: &str| {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| refusal(meaning));
    };
    add("400", "Malformed JSON, a wrong type, or a query value that cannot be read");
    add("401", "No valid key");
    if endpoint.path.contains('{') {
        add("404", "No such resource");
    }
    if has_body {
        add("413", "The body is too large");
        add("422", "Rules of the model are broken");
    }
}

fn operation_id(method: &Method, path: &str) -> String {
    let path = path.trim_start_matches("/api/engine/v2").replace(['{', '}'], "");
    let words = path.split(['/', '.', '_']).filter(|word| !word.is_empty());
    let mut id = method.as_str().to_lowercase();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

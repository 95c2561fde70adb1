//! A route, declared once: method, path, who may call it, what it takes and gives, and the handler.
//!
//! The router and the OpenAPI document are both made from the same list, so neither can miss a route.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, RefOr, Required, ResponseBuilder,
        path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ArrayBuilder, ObjectBuilder, Schema, Type},
    },
};

use super::{
    State,
    auth::{Access, credential},
    error::{Error, Result},
    http::body::{self, Whole},
};

/// A route of the API.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) scopes: &'static [&'static str],
    pub(crate) operation: Operation,
    /// Schemas its operation refers to.
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    /// Longest body, in bytes, if that is less than the options allow.
    limit: usize,
    handler: MethodRouter<State>,
}

/// `GET`.
pub(crate) fn get<H: Handler<T, State>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint::new(Method::GET, path, on(MethodFilter::GET, handler))
}

/// `POST`.
pub(crate) fn post<H: Handler<T, State>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint::new(Method::POST, path, on(MethodFilter::POST, handler))
}

/// `PUT`.
pub(crate) fn put<H: Handler<T, State>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint::new(Method::PUT, path, on(MethodFilter::PUT, handler))
}

/// `PATCH`.
pub(crate) fn patch<H: Handler<T, State>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint::new(Method::PATCH, path, on(MethodFilter::PATCH, handler))
}

/// `DELETE`.
pub(crate) fn delete<H: Handler<T, State>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint::new(Method::DELETE, path, on(MethodFilter::DELETE, handler))
}

impl Endpoint {
    fn new(method: Method, path: &'static str, handler: MethodRouter<State>) -> Self {
        Endpoint {
            method,
            path,
            access: Access::Admin,
            scopes: &[],
            operation: OperationBuilder::new().build(),
            schemas: Vec::new(),
            limit: usize::MAX,
            handler,
        }
    }

    /// Who may call it, and the scopes of which the key needs one.
    pub(crate) fn takes(mut self, access: Access, scopes: &'static [&'static str]) -> Self {
        self.access = access;
        self.scopes = scopes;
        self
    }

    /// Takes shorter bodies than other routes, in bytes.
    pub(crate) fn at_most(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// What it does, in a sentence.
    pub(crate) fn says(mut self, summary: &str) -> Self {
        self.operation.summary = Some(summary.to_owned());
        self
    }

    /// A query parameter: name, JSON type, meaning.
    pub(crate) fn query(mut self, name: &str, kind: Type, meaning: &str) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(meaning))
            .schema(Some(ObjectBuilder::new().schema_type(kind)))
            .build();
        self.operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
        self
    }

    /// The parameters of every paged list.
    pub(crate) fn paged(self) -> Self {
        self.query("q", Type::String, "Words to search for; the last one may be the beginning of a word.")
            .query("limit", Type::Integer, "Items on a page: 0 to 10000, 100 if not given.")
            .query("offset", Type::Integer, "Items before the page.")
    }

    /// The JSON body it reads.
    pub(crate) fn body<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        let content = Content::new(Some(schema));
        self.operation.request_body = Some(RefOr::T(
            RequestBodyBuilder::new()
                .content("application/json", content)
                .required(Some(Required::True))
                .build(),
        ));
        self
    }

    /// The JSON it answers with.
    pub(crate) fn gives<T: ToSchema>(mut self, status: StatusCode, meaning: &str) -> Self {
        let schema = self.refer::<T>();
        let response = ResponseBuilder::new()
            .description(meaning)
            .content("application/json", Content::new(Some(schema)));
        self.operation.responses.responses.insert(status.as_str().to_owned(), RefOr::T(response.build()));
        self
    }

    /// The JSON array it answers with.
    pub(crate) fn lists<T: ToSchema>(mut self, status: StatusCode, meaning: &str) -> Self {
        let items = self.refer::<T>();
        let content = Content::new(Some(ArrayBuilder::new().items(items)));
        let response = ResponseBuilder::new().description(meaning).content("application/json", content);
        self.operation.responses.responses.insert(status.as_str().to_owned(), RefOr::T(response.build()));
        self
    }

    /// Another form of what it answers with 200.
    pub(crate) fn also(mut self, media_type: &str, meaning: &str) -> Self {
        if let Some(RefOr::T(response)) = self.operation.responses.responses.get_mut("200") {
            let text = ObjectBuilder::new().schema_type(Type::String).description(Some(meaning));
            response.content.insert(media_type.to_owned(), RefOr::T(Content::new(Some(text))));
        }
        self
    }

    /// An answer without a body.
    pub(crate) fn ends(mut self, status: StatusCode, meaning: &str) -> Self {
        let response = ResponseBuilder::new().description(meaning).build();
        self.operation.responses.responses.insert(status.as_str().to_owned(), RefOr::T(response));
        self
    }

    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let schema = <T as PartialSchema>::schema();
        // Named objects go to the components; everything else is written in place.
        match &schema {
            RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
                let name = T::name().into_owned();
                self.schemas.push((name.clone(), schema));
                RefOr::Ref(utoipa::openapi::Ref::from_schema_name(name))
            }
            _ => schema,
        }
    }

    /// Adds it to a router, behind its guard.
    pub(crate) fn mount(self, router: Router<State>, state: &State) -> Router<State> {
        let guard = Arc::new(Guard {
            state: state.clone(),
            access: self.access,
            scopes: self.scopes,
            limit: self.limit,
            write: self.method != Method::GET,
        });
        let handler = self.handler.route_layer(middleware::from_fn(move |request, next| {
            let guard = guard.clone();
            async move { guard.admit(request, next).await.unwrap_or_else(IntoResponse::into_response) }
        }));
        router.route(self.path, handler)
    }
}

/// What stands before a handler: credential, access, scope, body.
struct Guard {
    state: State,
    access: Access,
    scopes: &'static [&'static str],
    limit: usize,
    write: bool,
}

impl Guard {
    async fn admit(&self, request: Request, next: Next) -> Result<Response> {
        let (mut parts, body) = request.into_parts();
        if self.access != Access::Public {
            let presented = credential::find(&parts).ok_or(Error::Unauthorized("no credential"))?;
            let caller = self.state.verifier().verify(&presented).await?;
            if !self.scopes.is_empty() && !caller.in_scope(self.scopes, self.write) {
                return Err(Error::Forbidden);
            }
            caller.reaches(self.access)?;
            parts.extensions.insert(caller.as_ref().clone());
        }
        let options = self.state.options();
        let time = std::time::Duration::from_millis(options.body_timeout_ms);
        let bytes = body::read(&parts.headers, body, options.max_body_bytes.min(self.limit), time).await?;
        parts.extensions.insert(Whole(bytes));
        Ok(next.run(Request::from_parts(parts, axum::body::Body::empty())).await)
    }
}

//! For tower: a layer, and an extractor for axum.
//!
//! The layer judges whatever credential a request presents, with the client's address from the request's extensions
//! ([`ClientAddress`]) where somebody put it there, and answers bad ones itself. `Authenticated` is then an argument of
//! handlers, `Option<Authenticated>` one of those that serve strangers as well. A complete program is
//! `examples/axum.rs`.
//!
//! ```
//! use parlant_auth_bridge::AuthBridge;
//! use parlant_auth_bridge::tower::{AuthLayer, Authenticated};
//!
//! async fn hello(caller: Authenticated) -> String {
//!     format!("Hello, {}", caller.user.name)
//! }
//!
//! # fn app(bridge: AuthBridge) -> axum::Router {
//! axum::Router::new().route("/hello", axum::routing::get(hello)).layer(AuthLayer::new(bridge))
//! # }
//! ```

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::IntoResponse;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

pub use crate::web::{Authenticated, Rejection};
use crate::{AuthBridge, ClientAddress, Credential, web};

/// Judges the credentials of requests before they go further. Put CORS outside of a required one: a preflight presents
/// no credential.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    bridge: AuthBridge,
    required: bool,
}

impl AuthLayer {
    /// Lets requests without a credential pass, for the extractors to decide.
    #[must_use]
    pub const fn new(bridge: AuthBridge) -> Self {
        Self { bridge, required: false }
    }

    /// Refuses requests without a credential.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { layer: self.clone(), inner }
    }
}

/// The service of an [`AuthLayer`].
#[derive(Clone, Debug)]
pub struct Auth<S> {
    layer: AuthLayer,
    inner: S,
}

/// What the layer found out: a request without it did not pass through one.
#[derive(Clone)]
struct Judged(Option<Authenticated>);

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    R: From<&'static str>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that was polled ready is the one to call.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let AuthLayer { bridge, required } = self.layer.clone();
        // By a layer around this one.
        let judged = request.extensions().get().map(|Judged(caller)| caller.clone());
        let credential = credential(&request);
        Box::pin(async move {
            let admitted = match judged {
                Some(caller) => Ok(caller),
                None => web::admit(&bridge, credential).await,
            };
            match admitted {
                Ok(None) if required => Ok(response(&Rejection::Missing)),
                Ok(caller) => {
                    request.extensions_mut().insert(Judged(caller));
                    inner.call(request).await
                }
                Err(rejection) => Ok(response(&rejection)),
            }
        })
    }
}

/// What a request presents, with the address of who sent it.
#[must_use]
pub fn credential<B>(request: &Request<B>) -> Option<Credential> {
    let values = |name| request.headers().get_all(name).into_iter().map(HeaderValue::as_bytes);
    let credential = Credential::from_headers(values(header::AUTHORIZATION), values(header::COOKIE))?;
    Some(match request.extensions().get() {
        Some(ClientAddress(client)) => credential.with_client(*client),
        None => credential,
    })
}

fn response<R: From<&'static str>>(rejection: &Rejection) -> Response<R> {
    let mut response = Response::new(R::from(rejection.message()));
    *response.status_mut() = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some((name, value)) = rejection.header()
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

impl IntoResponse for Rejection {
    fn into_response(self) -> axum_core::response::Response {
        response(&self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Rejection> {
        judged(parts)?.ok_or(Rejection::Missing)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Authenticated {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Rejection> {
        judged(parts)
    }
}

fn judged(parts: &Parts) -> Result<Option<Authenticated>, Rejection> {
    let Judged(caller) = parts.extensions.get().ok_or(Rejection::Unconfigured)?;
    Ok(caller.clone())
}

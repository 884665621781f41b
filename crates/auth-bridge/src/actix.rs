//! For actix-web: extractors and a middleware.
//!
//! They find the bridge in the application's data, and the client's address in the request's extensions
//! ([`ClientAddress`]) or else in the connection. A complete program is `examples/actix.rs`.
//!
//! ```
//! use actix_web::middleware::from_fn;
//! use actix_web::{App, web};
//! use parlant_auth_bridge::AuthBridge;
//! use parlant_auth_bridge::actix::{Authenticated, require};
//!
//! async fn hello(caller: Authenticated) -> String {
//!     format!("Hello, {}", caller.user.name)
//! }
//!
//! # fn app(bridge: AuthBridge) {
//! let app = App::new()
//!     .app_data(bridge)
//!     .route("/hello", web::get().to(hello))
//!     .service(web::scope("/members").wrap(from_fn(require)).route("", web::get().to(async || "Members only")));
//! # let _ = app;
//! # }
//! ```

use std::pin::Pin;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{StatusCode, header::HeaderName};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};

pub use crate::web::{Authenticated, Rejection};
use crate::{AuthBridge, ClientAddress, Credential, web};

/// Who calls, if the request presents a credential at all; a bad one is refused, and one that nobody can judge is an
/// outage. `Option<Authenticated>` would take both for nobody.
#[derive(Clone, Debug)]
pub struct MaybeAuthenticated(pub Option<Authenticated>);

/// What a request presents, with the address of who sent it.
#[must_use]
pub fn credential(request: &HttpRequest) -> Option<Credential> {
    let headers = request.headers();
    let values = |name| headers.get_all(name).map(HeaderValue::as_bytes);
    let credential = Credential::from_headers(values(header::AUTHORIZATION), values(header::COOKIE))?;
    let noted = request.extensions().get().map(|ClientAddress(client)| *client);
    Some(match noted.or_else(|| Some(request.peer_addr()?.ip())) {
        Some(client) => credential.with_client(client),
        None => credential,
    })
}

/// A middleware for [`from_fn`](actix_web::middleware::from_fn): who presents no valid credential goes no further.
/// Put CORS outside of it: a preflight presents none.
///
/// # Errors
/// A [`Rejection`].
pub async fn require<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let caller = caller(request.request()).await?.ok_or(Rejection::Missing)?;
    request.extensions_mut().insert(caller);
    next.call(request).await
}

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, Rejection>>>>;

impl FromRequest for Authenticated {
    type Error = Rejection;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = caller(request);
        Box::pin(async move { caller.await?.ok_or(Rejection::Missing) })
    }
}

impl FromRequest for MaybeAuthenticated {
    type Error = Rejection;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = caller(request);
        Box::pin(async move { caller.await.map(Self) })
    }
}

fn caller(request: &HttpRequest) -> impl Future<Output = Result<Option<Authenticated>, Rejection>> + use<> {
    let known = request.extensions().get::<Authenticated>().cloned();
    let (bridge, credential) = (request.app_data::<AuthBridge>().cloned(), credential(request));
    async move {
        match known {
            Some(caller) => Ok(Some(caller)),
            None => web::admit(&bridge.ok_or(Rejection::Unconfigured)?, credential).await,
        }
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some((name, value)) = self.header() {
            response.insert_header((HeaderName::from_static(name), &*value));
        }
        response.body(self.message())
    }
}

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::Bytes;
use parlant_auth_bridge::ClientAddress;
use tracing::Span;
use tracing::field::Empty;
use uuid::Uuid;

use super::request_id;
use super::trace_parent::TraceParent;
use crate::client::TrustedProxies;
use crate::metrics::{EndpointMetrics, UNMATCHED};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is known of a request from its head on; kept in the request's extensions.
pub(crate) struct RequestContext {
    /// Only characters that [`request_id::accepted`] lets pass.
    request_id: HeaderValue,
    pub(super) trace: TraceParent,
    /// Every line that is logged while the request is served stands in it.
    pub(super) span: Span,
    pub(super) method: Method,
    pub(super) client: Option<IpAddr>,
    pub(super) started: Instant,
    endpoint: RefCell<Rc<EndpointMetrics>>,
}

impl RequestContext {
    /// The context of a request that has just arrived and belongs to no route yet.
    pub(super) fn new(request: &ServiceRequest, proxies: &TrustedProxies, unmatched: &Rc<EndpointMetrics>) -> Rc<Self> {
        let headers = request.headers();
        let fresh = Uuid::now_v7();
        let trace = TraceParent::next(headers.get(TRACEPARENT), fresh);
        let request_id = match request_id::accepted(headers.get(REQUEST_ID)) {
            Some(_) => headers.get(REQUEST_ID).cloned(),
            None => HeaderValue::from_maybe_shared(Bytes::from(fresh.to_string())).ok(),
        }
        .unwrap_or_else(|| HeaderValue::from_static(""));
        // At the level of errors, so that their lines have the context even where nothing milder is logged.
        let span = tracing::error_span!(
            "request",
            request_id = request_id.to_str().unwrap_or_default(),
            method = request.method().as_str(),
            path = UNMATCHED,
            trace_id = trace.trace_id(),
            user_id = Empty,
            workspace_id = Empty,
        );
        let context = Rc::new(Self {
            request_id,
            trace,
            span,
            method: request.method().clone(),
            client: proxies.client(request),
            started: Instant::now(),
            endpoint: RefCell::new(Rc::clone(unmatched)),
        });
        let mut extensions = request.extensions_mut();
        if let Some(client) = context.client {
            extensions.insert(ClientAddress(client));
        }
        extensions.insert(Rc::clone(&context));
        drop(extensions);
        context
    }

    /// The context of a request that the middleware has seen.
    pub(crate) fn of(request: &impl HttpMessage) -> Option<Rc<Self>> {
        request.extensions().get::<Rc<Self>>().cloned()
    }

    /// Says which route answers the request.
    pub(crate) fn route(&self, endpoint: &Rc<EndpointMetrics>) {
        self.span.record("path", endpoint.pattern());
        *self.endpoint.borrow_mut() = Rc::clone(endpoint);
    }

    pub(super) fn endpoint(&self) -> Rc<EndpointMetrics> {
        Rc::clone(&self.endpoint.borrow())
    }

    pub(super) fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }
}

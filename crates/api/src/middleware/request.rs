use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse};
use futures_util::future::LocalBoxFuture;
use metrics::Gauge;
use tracing::Instrument;

use super::body::{Source, Watched};
use super::context::{REQUEST_ID, RequestContext, TRACEPARENT};
use super::envelope::envelope;
use super::exchange::Exchange;
use crate::ApiError;
use crate::client::TrustedProxies;
use crate::error::Class;
use crate::metrics::{EndpointMetrics, in_flight};
use crate::readiness::Readiness;

/// The middleware around everything: request id, trace, context of the log, metrics, the completed line, the error
/// envelope and the headers that every answer has.
pub(crate) struct Requests {
    readiness: Readiness,
    proxies: TrustedProxies,
}

impl Requests {
    pub(crate) fn new(readiness: Readiness, proxies: TrustedProxies) -> Self {
        Self { readiness, proxies }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Requests
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<Watched<B>>;
    type Error = Error;
    type Transform = RequestsService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RequestsService {
            service,
            readiness: self.readiness.clone(),
            proxies: self.proxies.clone(),
            unmatched: EndpointMetrics::unmatched(),
            in_flight: in_flight(),
        }))
    }
}

pub(crate) struct RequestsService<S> {
    service: S,
    readiness: Readiness,
    proxies: TrustedProxies,
    unmatched: Rc<EndpointMetrics>,
    in_flight: Gauge,
}

impl<S, B> Service<ServiceRequest> for RequestsService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<Watched<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let context = RequestContext::new(&request, &self.proxies, &self.unmatched);
        let span = context.span.clone();
        let readiness = self.readiness.clone();
        let exchange = Exchange::begin(context, self.in_flight.clone(), readiness.clone());
        let answer = span.in_scope(|| self.service.call(request));
        Box::pin(
            async move {
                let answer = answer.await;
                let draining = readiness.is_draining();
                match answer {
                    Ok(answer) => {
                        let (request, response) = answer.into_parts();
                        let response = finish(exchange, response, draining);
                        Ok(ServiceResponse::new(request, response))
                    }
                    // Another middleware gave up without making an answer of it, and took the request with it.
                    Err(error) => {
                        let response = HttpResponse::from_error(error);
                        let response = finish(exchange, response, draining).map_into_boxed_body();
                        Err(InternalError::from_response("answered", response).into())
                    }
                }
            }
            .instrument(span),
        )
    }
}

/// Turns a failure into the envelope, adds the headers of every answer, and has the body watched.
fn finish<B: MessageBody>(
    mut exchange: Exchange,
    mut response: HttpResponse<B>,
    draining: bool,
) -> HttpResponse<Watched<B>> {
    let context = Rc::clone(&exchange.context);
    let failure = failure(&response, context.request_id().to_str().unwrap_or_default());
    let headers = response.headers_mut();
    for (name, value) in failure.iter().flat_map(|failure| &failure.headers) {
        headers.insert(name.clone(), value.clone());
    }
    if failure.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(REQUEST_ID, context.request_id().clone());
    headers.insert(TRACEPARENT, context.trace.header());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if draining {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    exchange.sending(response.status());
    response.map_body(|_, body| {
        let source = match failure {
            Some(failure) => Source::Envelope { text: failure.envelope },
            None => Source::Handler { body },
        };
        Watched::new(source, exchange)
    })
}

struct Failure {
    envelope: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a failed answer says instead. One without an error and with a body of its own speaks for itself, as an
/// unhealthy `/health` does.
fn failure<B: MessageBody>(response: &HttpResponse<B>, request_id: &str) -> Option<Failure> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let (class, details, headers) = match response.error() {
        Some(error) => match error.as_error::<ApiError>() {
            Some(error) => {
                error.log();
                (error.class(), error.details(), error.headers())
            }
            None => {
                let class = Class::of_status(status);
                if status.is_server_error() {
                    tracing::error!(code = class.code, %error, "Request failed");
                }
                (class, None, Vec::new())
            }
        },
        None if matches!(response.body().size(), BodySize::None | BodySize::Sized(0)) => {
            (Class::of_status(status), None, Vec::new())
        }
        None => return None,
    };
    Some(Failure { envelope: envelope(class, details, request_id), headers })
}

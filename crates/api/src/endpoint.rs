use std::panic::AssertUnwindSafe;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::guard::fn_guard;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, web};
use futures_util::future::{Either, FutureExt as _, TryFutureExt as _, ready};

use crate::ApiError;
use crate::metrics::EndpointMetrics;
use crate::middleware::RequestContext;
use crate::rate_limit::Admission;

/// One path and the methods that it answers. Whoever mounts a path does it by this, so that its requests are logged and
/// counted under its pattern, a panic in its handlers is answered, and other methods get 405 with `Allow`.
pub struct Endpoint {
    pattern: &'static str,
    resource: Resource,
    known: Vec<(Method, StatusCode)>,
    limited: bool,
    timed: bool,
}

impl Endpoint {
    /// An endpoint for the route pattern, such as `/api/v1/agents/{id}`.
    #[must_use]
    pub fn new(pattern: &'static str) -> Self {
        Self { pattern, resource: web::resource(pattern), known: Vec::new(), limited: true, timed: true }
    }

    /// Answers `GET`, and `HEAD` by the same handler.
    #[must_use]
    pub fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on(Method::GET, StatusCode::OK, handler.clone()).on(Method::HEAD, StatusCode::OK, handler)
    }

    /// Answers `method`, with `success` when all is well.
    #[must_use]
    pub fn on<F, Args>(mut self, method: Method, success: StatusCode, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.known.push((method.clone(), success));
        // Unlike actix's guards for methods, this one allocates nothing.
        let route = web::route().guard(fn_guard(move |context| context.head().method == method));
        self.resource = self.resource.route(route.to(handler));
        self
    }

    /// Answers however often it is asked.
    #[must_use]
    pub(crate) fn unlimited(mut self) -> Self {
        self.limited = false;
        self
    }

    /// Answers for as long as somebody listens: how long that was says nothing about how fast the answer is.
    #[must_use]
    pub(crate) fn streaming(mut self) -> Self {
        self.timed = false;
        self
    }

    /// Puts the endpoint into the application. Of two with patterns that match one path, the first answers.
    pub fn mount(self, config: &mut web::ServiceConfig) {
        let metrics = EndpointMetrics::new(self.pattern, &self.known, self.timed);
        let methods: Vec<_> = self.known.iter().map(|(method, _)| method.clone()).collect();
        let refuse = web::to(move || {
            let allow = header::Allow(methods.clone());
            async { HttpResponse::MethodNotAllowed().insert_header(allow).finish() }
        });
        let (limited, resource) = (self.limited, self.resource.default_service(refuse));
        config.service(resource.wrap_fn(move |request, service| {
            if let Some(context) = RequestContext::of(&request) {
                context.route(&metrics);
            }
            let asked = request.request().clone();
            let admitted = if limited { Admission::to(&asked) } else { Ok(None) };
            let answer = match admitted {
                Ok(admission) => Either::Left(service.call(request).map_ok(move |mut answer| {
                    if let Some(admission) = admission {
                        admission.tell(answer.headers_mut());
                    }
                    answer
                })),
                Err(refused) => Either::Right(ready(Ok(request.error_response(refused)))),
            };
            AssertUnwindSafe(answer)
                .catch_unwind()
                .map(|result| result.unwrap_or_else(|_| Ok(ServiceResponse::from_err(ApiError::Panicked, asked))))
        }));
    }
}

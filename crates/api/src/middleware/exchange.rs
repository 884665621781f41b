use std::rc::Rc;

use actix_web::http::{Method, StatusCode};
use metrics::Gauge;

use super::context::RequestContext;
use crate::Readiness;
use crate::metrics::CLIENT_CLOSED_REQUEST;

/// A request being answered. However that ends, by the last byte, by a client that hangs up or by a panic, it is
/// counted once and leaves one line.
pub(super) struct Exchange {
    pub(super) context: Rc<RequestContext>,
    in_flight: Gauge,
    readiness: Readiness,
    progress: Progress,
    bytes: u64,
}

#[derive(Clone, Copy)]
enum Progress {
    /// There is no answer yet.
    Working,
    /// The answer is on its way.
    Sending(StatusCode),
    /// The last byte was handed over.
    Complete(StatusCode),
    /// The answer broke off by our fault.
    Broken,
}

impl Exchange {
    pub(super) fn begin(context: Rc<RequestContext>, in_flight: Gauge, readiness: Readiness) -> Self {
        in_flight.increment(1.0);
        readiness.begin();
        Self { context, in_flight, readiness, progress: Progress::Working, bytes: 0 }
    }

    /// The head of the answer is made.
    pub(super) fn sending(&mut self, status: StatusCode) {
        self.progress = Progress::Sending(status);
    }

    /// A piece of the answer's body is handed over.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(super) fn complete(&mut self) {
        if let Progress::Sending(status) = self.progress {
            self.progress = Progress::Complete(status);
        }
    }

    pub(super) fn broken(&mut self) {
        self.progress = Progress::Broken;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let status = match self.progress {
            Progress::Complete(status) => status.as_u16(),
            Progress::Broken => 500,
            Progress::Working | Progress::Sending(_) if std::thread::panicking() => 500,
            Progress::Working | Progress::Sending(_) => CLIENT_CLOSED_REQUEST,
        };
        let context = &*self.context;
        let duration = context.started.elapsed();
        self.in_flight.decrement(1.0);
        context.endpoint().record(&context.method, status, duration);
        // The bodies of answers to HEAD are measured, not sent.
        let bytes = if context.method == Method::HEAD { 0 } else { self.bytes };
        context.span.in_scope(|| {
            tracing::info!(
                status_code = status,
                duration_ms = duration.as_micros() as f64 / 1000.0,
                bytes,
                client = context.client.map(tracing::field::display),
                "Request completed"
            );
        });
        self.readiness.end();
    }
}

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use pin_project_lite::pin_project;

use super::exchange::Exchange;

pin_project! {
    /// The body of an answer, watched to its end.
    pub(crate) struct Watched<B> {
        #[pin]
        source: Source<B>,
        exchange: Exchange,
    }
}

pin_project! {
    #[project = SourceProjection]
    pub(super) enum Source<B> {
        /// What the handler answers.
        Handler { #[pin] body: B },
        /// The error envelope, in place of what the handler answers.
        Envelope { text: Bytes },
    }
}

impl<B: MessageBody> Watched<B> {
    pub(super) fn new(source: Source<B>, mut exchange: Exchange) -> Self {
        // Nobody asks an empty body for its end.
        if matches!(source.size(), BodySize::None | BodySize::Sized(0)) {
            exchange.complete();
        }
        Self { source, exchange }
    }
}

impl<B: MessageBody> Source<B> {
    fn size(&self) -> BodySize {
        match self {
            Self::Handler { body } => body.size(),
            Self::Envelope { text } => text.size(),
        }
    }
}

impl<B: MessageBody> MessageBody for Watched<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.source.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let request = std::rc::Rc::clone(&this.exchange.context);
        let _entered = request.span.enter();
        let next = match this.source.project() {
            SourceProjection::Handler { body } => ready!(body.poll_next(context)),
            SourceProjection::Envelope { text } if text.is_empty() => None,
            SourceProjection::Envelope { text } => Some(Ok(std::mem::take(text))),
        };
        match &next {
            Some(Ok(bytes)) => this.exchange.sent(bytes.len()),
            Some(Err(_)) => this.exchange.broken(),
            None => this.exchange.complete(),
        }
        Poll::Ready(next)
    }
}

use tokio::sync::{broadcast, mpsc};

/// The threads that serve requests, each asked by a task of its own whether it still turns.
#[derive(Debug, Clone)]
pub(crate) struct Workers(broadcast::Sender<Question>);

/// Answered when every copy is dropped. The last one that was sent is kept until each thread has taken it.
type Question = mpsc::Sender<()>;

impl Workers {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(1).0)
    }

    /// Makes the calling thread one of them, until its runtime ends.
    pub(crate) fn enter(&self) {
        let mut questions = self.0.subscribe();
        tokio::task::spawn_local(async move {
            while !matches!(questions.recv().await, Err(broadcast::error::RecvError::Closed)) {}
        });
    }

    /// Waits until each of them has answered.
    pub(crate) async fn answer(&self) {
        let (question, mut answers) = mpsc::channel(1);
        // Without threads there is nobody to wait for.
        let _ = self.0.send(question);
        answers.recv().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;
    use std::thread;
    use std::time::Duration;

    use tokio::runtime::{Builder, LocalOptions};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    /// A thread as actix starts them, the sender that keeps it alive, and one whose end lets it turn again.
    fn worker(workers: &Workers) -> (thread::JoinHandle<()>, oneshot::Sender<()>, blocking::Sender<()>) {
        let workers = workers.clone();
        let (end, ended) = oneshot::channel::<()>();
        let (free, hanging) = blocking::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
            runtime.block_on(async { workers.enter() });
            // Hangs at first.
            let _ = hanging.recv();
            let _ = runtime.block_on(ended);
        });
        (thread, end, free)
    }

    #[tokio::test]
    async fn they_answer_while_all_of_them_turn() {
        let workers = Workers::new();
        workers.answer().await;
        let (first, second) = (worker(&workers), worker(&workers));
        drop(first.2);
        while workers.0.receiver_count() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..3 {
            let asked = timeout(Duration::from_millis(50), workers.answer()).await;
            assert!(asked.is_err(), "the second one hangs");
        }
        drop(second.2);
        workers.answer().await;
        workers.answer().await;
        // Who has ended is not asked.
        drop(second.1);
        second.0.join().unwrap();
        workers.answer().await;
        drop(first.1);
        first.0.join().unwrap();
    }
}

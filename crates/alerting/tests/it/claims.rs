//! Of several replicas one tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlant_alerting::{Claims, Config, Holding, Key, Slack};
use tokio::time::sleep;

use crate::delivery::{Numbers, Running, full};
use crate::receiver::{Receiver, until};

/// Who holds what, as a database would know it.
#[derive(Clone, Default)]
struct Register(Arc<Mutex<BTreeMap<Key, u32>>>);

struct Replica {
    register: Register,
    number: u32,
    hangs: bool,
}

impl Claims for Replica {
    fn hold<'a>(&'a mut self, wanted: &'a [Key]) -> Holding<'a> {
        Box::pin(async {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let mut holders = self.register.0.lock().unwrap();
            holders.retain(|key, holder| *holder != self.number || wanted.contains(key));
            let mut claim = |key: &&Key| *holders.entry((*key).clone()).or_insert(self.number) != self.number;
            wanted.iter().filter(|key| claim(key)).cloned().collect::<BTreeSet<_>>()
        })
    }
}

fn start(name: &'static str, receiver: &Receiver, numbers: &Numbers, claims: Replica) -> Running {
    let notifier = receiver.notifier(name, Slack::new(receiver.url()).unwrap());
    Running::with_claims(full("Claimed"), numbers, vec![notifier], Config::default(), claims)
}

#[tokio::test(start_paused = true)]
async fn one_of_two_replicas_tells_and_the_other_goes_on_when_it_is_gone() {
    let (first, second) = (Receiver::start([]).await, Receiver::start([]).await);
    let register = Register::default();
    let replica = |number| Replica { register: register.clone(), number, hangs: false };
    let numbers = Numbers::default();
    let one = start("first", &first, &numbers, replica(1));
    let other = start("second", &second, &numbers, replica(2));
    let told = || first.count() + second.count();
    for (disk, messages) in [(1, 1), (2, 3), (3, 5)] {
        numbers.wrong([disk]);
        until("it is told", || told() == messages).await;
        sleep(Duration::from_mins(10)).await;
        assert_eq!(told(), messages, "once");
        if disk < 3 {
            numbers.wrong([]);
            until("it is over", || told() == messages + 1).await;
        }
    }
    // Each has told what it began to tell to its end.
    let is_first = first.count() % 2 == 1;
    let ((teller, heard), (heir, after)) =
        if is_first { ((one, &first), (other, &second)) } else { ((other, &second), (one, &first)) };
    let (heard_before, after_before) = (heard.count(), after.count());
    teller.stop().await;
    assert!(register.0.lock().unwrap().is_empty(), "who ends lets go");
    until("the other tells that it goes on", || after.count() == after_before + 1).await;
    numbers.wrong([]);
    until("and that it is over", || after.count() == after_before + 2).await;
    heir.stop().await;
    assert_eq!(heard.count(), heard_before);
    assert_eq!(after.accepted()[after_before..], ["Full", "Resolved: Full"]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_ask_the_others_tells() {
    let receiver = Receiver::start([]).await;
    let numbers = Numbers::default();
    numbers.wrong([1]);
    let alone = start("asking", &receiver, &numbers, Replica { register: Register::default(), number: 1, hangs: true });
    until("it is told", || receiver.count() == 1).await;
    alone.stop().await;
    assert!(!crate::log::about("The other replicas could not be asked in time").is_empty());
}

use std::ops::RangeInclusive;
use std::time::Duration;

use parlant_settings::FromSetting as _;
use serde::{Deserialize, Deserializer, de};

/// The most requests that may be in flight at once, in either model: sockets are finite.
const IN_FLIGHT_LIMIT: usize = 20_000;
/// In flight at once in the open model when nobody says.
const DEFAULT_IN_FLIGHT: usize = 1_000;
/// Requests a second that make sense; what is longer than their quotients is no time.
const RATES: RangeInclusive<f64> = 0.001..=1e6;
const REQUEST_LIMIT: u64 = 1_000_000_000;

/// What decides when a request is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// The clock: users come whether or not others wait. Latencies count from when a request was due.
    Open {
        /// Requests a second.
        rate: f64,
        /// A request that is due while so many are in flight is not sent, but counted.
        max_in_flight: usize,
    },
    /// The answers: so many clients each wait for one before they ask again.
    Closed {
        /// Clients.
        concurrency: usize,
    },
}

/// How requests are sent, and for how long. At least one of `requests` and `duration` is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// When they are sent.
    pub model: Model,
    /// After how many it ends, the warm-up not counted.
    pub requests: Option<u64>,
    /// After what time it ends, the warm-up not counted.
    pub duration: Option<Duration>,
    /// For how long the same load runs before anything is counted.
    pub warm_up: Duration,
}

/// What somebody said about a load: on the command line, in a file, for one scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadOptions {
    /// Requests a second: the open model.
    pub rate: Option<f64>,
    /// Clients: the closed model.
    pub concurrency: Option<usize>,
    /// Bound of the open model.
    pub max_in_flight: Option<usize>,
    /// Ends after so many requests.
    pub requests: Option<u64>,
    /// Ends after this time.
    #[serde(default, deserialize_with = "duration")]
    pub duration: Option<Duration>,
    /// Before anything is counted.
    #[serde(default, deserialize_with = "duration")]
    pub warm_up: Option<Duration>,
}

impl LoadOptions {
    /// The load that holds when those who said something are asked in this order.
    ///
    /// # Errors
    /// Says what is missing or makes no sense.
    pub fn resolve(layers: &[Self]) -> Result<Load, String> {
        let first = |has: fn(&Self) -> bool| layers.iter().find(|layer| has(layer)).copied().unwrap_or_default();
        let model = match first(|layer| layer.rate.is_some() || layer.concurrency.is_some()) {
            Self { rate: Some(_), concurrency: Some(_), .. } => {
                return Err("rate (open model) and concurrency (closed model) exclude each other".to_owned());
            }
            Self { rate: Some(rate), .. } => {
                let max_in_flight = first(|layer| layer.max_in_flight.is_some()).max_in_flight;
                Model::Open { rate, max_in_flight: max_in_flight.unwrap_or(DEFAULT_IN_FLIGHT) }
            }
            Self { concurrency: Some(concurrency), .. } => Model::Closed { concurrency },
            Self { .. } => return Err("there is neither a rate nor a concurrency".to_owned()),
        };
        let Self { requests, duration, .. } = first(|layer| layer.requests.is_some() || layer.duration.is_some());
        let (in_flight, rate) = match model {
            Model::Open { rate, max_in_flight } => (max_in_flight, rate),
            Model::Closed { concurrency } => (concurrency, 1.0),
        };
        if !(1..=IN_FLIGHT_LIMIT).contains(&in_flight) {
            return Err(format!("concurrency and max_in_flight are from 1 to {IN_FLIGHT_LIMIT}"));
        }
        if !RATES.contains(&rate) {
            return Err(format!("rate is from {} to {}", RATES.start(), RATES.end()));
        }
        match (requests, duration) {
            (None, None) => return Err("there is neither a number of requests nor a duration".to_owned()),
            (Some(0), _) | (_, Some(Duration::ZERO)) => return Err("requests and duration are more than 0".to_owned()),
            (Some(requests), _) if requests > REQUEST_LIMIT => {
                return Err(format!("requests are at most {REQUEST_LIMIT}"));
            }
            _ => {}
        }
        let warm_up = first(|layer| layer.warm_up.is_some()).warm_up.unwrap_or_default();
        Ok(Load { model, requests, duration, warm_up })
    }
}

/// `"30s"`, or seconds.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a duration such as \"30s\", or seconds")]
    enum Written {
        Text(String),
        Seconds(f64),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Text(text) => text,
        Written::Seconds(seconds) => seconds.to_string(),
    };
    Duration::from_setting(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: LoadOptions = LoadOptions {
        concurrency: Some(10),
        requests: Some(100),
        rate: None,
        max_in_flight: None,
        duration: None,
        warm_up: None,
    };

    #[test]
    fn who_is_asked_first_decides_model_and_extent_each_as_a_whole() {
        let open = LoadOptions { rate: Some(50.0), ..LoadOptions::default() };
        let load = LoadOptions::resolve(&[open, CLOSED]).unwrap();
        assert_eq!(load.model, Model::Open { rate: 50.0, max_in_flight: DEFAULT_IN_FLIGHT });
        assert_eq!((load.requests, load.duration), (Some(100), None));

        let longer = LoadOptions { duration: Some(Duration::from_secs(5)), ..LoadOptions::default() };
        let load = LoadOptions::resolve(&[longer, CLOSED]).unwrap();
        assert_eq!(load.model, Model::Closed { concurrency: 10 });
        assert_eq!((load.requests, load.duration), (None, Some(Duration::from_secs(5))));
    }

    #[test]
    fn a_load_that_makes_no_sense_is_refused() {
        for (options, reason) in [
            (LoadOptions::default(), "neither a rate nor a concurrency"),
            (LoadOptions { rate: Some(1.0), ..CLOSED }, "exclude each other"),
            (LoadOptions { rate: Some(f64::NAN), concurrency: None, ..CLOSED }, "rate is from"),
            (LoadOptions { rate: Some(-1.0), concurrency: None, ..CLOSED }, "rate is from"),
            (LoadOptions { concurrency: Some(0), ..CLOSED }, "from 1 to"),
            (LoadOptions { requests: Some(0), ..CLOSED }, "more than 0"),
            (LoadOptions { requests: Some(u64::MAX), ..CLOSED }, "at most"),
            (LoadOptions { requests: None, ..CLOSED }, "neither a number of requests nor a duration"),
        ] {
            let refused = LoadOptions::resolve(&[options]).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}

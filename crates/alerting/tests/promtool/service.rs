//! What a service exports through ten hours in which everything goes wrong that a rule knows of, again and again.

use std::collections::BTreeMap;

use parlant_alerting::Source;

/// How long it is watched, in seconds.
pub(crate) const END: u32 = 10 * 3600;

/// Series of one source, by how Prometheus writes them.
type Page = BTreeMap<(Source, String), f64>;

/// A service, and what was seen of it every `interval` seconds.
pub(crate) struct Service {
    pub(crate) interval: u32,
    pub(crate) pages: Vec<Page>,
    counters: BTreeMap<String, f64>,
    page: Page,
    random: u32,
}

impl Service {
    pub(crate) fn watched_every(interval: u32) -> Self {
        let mut service = Self { interval, pages: Vec::new(), counters: BTreeMap::new(), page: Page::new(), random: 1 };
        for step in 0..=END / interval {
            service.goes_on(step * interval);
            service.is_seen(step);
        }
        service
    }

    /// Whether somebody looks; once, nobody does for longer than a number counts.
    pub(crate) fn is_watched(source: Source, step: usize) -> bool {
        source != Source::Server || !(900..916).contains(&step)
    }

    /// How bad a trouble is at this time that comes and goes in units of so many minutes: above 1, a rule should fire.
    fn trouble(&mut self, minutes: u32, time: u32) -> f64 {
        let tenth = time / (minutes * 6) % 90;
        let flaps = if time / (minutes * 12) % 2 == 0 { 0.0 } else { 1.7 };
        let level = match tenth {
            0..10 => 0.0,
            10..22 => 0.97,
            22..38 => 1.03,
            38..44 => 1.0,
            44..54 => flaps,
            54..60 => 0.0,
            60..72 => 1.9,
            _ => return 0.0,
        };
        // Counters are never quite even: sums would be at the edge between two roundings.
        level * if minutes % 2 == 1 { 0.995 + 0.01 * self.chance() } else { 1.0 }
    }

    /// From 0 to 1.
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.random >> 8) / f64::from(1 << 24)
    }

    fn gauge(&mut self, source: Source, series: &str, value: f64) {
        self.page.insert((source, series.to_owned()), value);
    }

    fn count(&mut self, series: &str, more: f64) {
        *self.counters.entry(series.to_owned()).or_default() += more;
    }

    fn goes_on(&mut self, time: u32) {
        self.page.clear();
        let seconds = f64::from(self.interval);
        self.requests(time, seconds);
        let refused = self.trouble(11, time) * 0.5;
        self.count(r#"parlant_auth_validations_total{outcome="invalid",source="database"}"#, refused * seconds);
        self.count(r#"parlant_auth_validations_total{outcome="valid",source="database"}"#, (1.0 - refused) * seconds);
        let missed = self.trouble(13, time) * 0.5;
        self.count(r#"parlant_auth_cache_hits_total{result="miss"}"#, missed * seconds);
        self.count(r#"parlant_auth_cache_hits_total{result="hit"}"#, (1.0 - missed) * seconds);
        let failed = self.trouble(25, time) * 0.2;
        self.count(r#"parlant_engine_turns_total{outcome="timeout"}"#, failed * 0.05 * seconds);
        self.count(r#"parlant_engine_turns_total{outcome="answered"}"#, (1.0 - failed) * 0.05 * seconds);
        self.count(r#"parlant_engine_turns_total{outcome="gone"}"#, 0.05 * seconds);
        for (source, minutes) in [("http", 7), ("database", 9)] {
            let unknown = f64::from(u8::from(self.trouble(minutes, time) > 1.0));
            self.count(&format!(r#"parlant_auth_validations_total{{outcome="unknown",source="{source}"}}"#), unknown);
        }
        let values: Vec<_> = self.counters.iter().map(|(series, value)| (series.clone(), *value)).collect();
        for (series, value) in values {
            self.gauge(Source::Server, &series, (value * 1e3).round() / 1e3);
        }
        self.states(time);
    }

    fn requests(&mut self, time: u32, seconds: f64) {
        let (burnt, failed) = (self.trouble(61, time) * 0.0144, self.trouble(9, time).max(0.9) - 0.9);
        // A quiet hour in between, with less traffic than a quotient needs.
        let traffic = seconds * if time / 3600 == 7 { 0.05 } else { 4.0 + self.chance() };
        let bad = if time / 3600 % 5 == 2 { failed * 0.77 } else { burnt };
        let slow = self.trouble(13, time) * 0.05;
        for (endpoint, share) in
            [("/api/v1/agents", 0.7), ("/api/v1/auth/me", 0.3), ("/health", 2.0), ("unmatched", 3.0)]
        {
            let count = traffic * share;
            let series = |status| {
                format!(r#"parlant_http_requests_total{{endpoint="{endpoint}",method="GET",status="{status}"}}"#)
            };
            let work = if share < 1.0 { bad } else { 0.5 };
            self.count(&series(200), count * (1.0 - work));
            self.count(&series(503), count * work);
            for (bound, share) in [("0.1", 0.4), ("0.5", 1.0 - slow), ("1", 1.0 - slow), ("2.5", 1.0), ("+Inf", 1.0)] {
                let bucket = format!(r#"{{endpoint="{endpoint}",le="{bound}",method="GET"}}"#);
                self.count(&format!("parlant_http_request_duration_seconds_bucket{bucket}"), count * share);
            }
            let all = format!(r#"parlant_http_request_duration_seconds_count{{endpoint="{endpoint}",method="GET"}}"#);
            self.count(&all, count);
        }
    }

    /// What is not counted.
    fn states(&mut self, time: u32) {
        let now = f64::from(time);
        let mut bad = |minutes| self.trouble(minutes, time);
        let (down, database, check, status) = (bad(6), bad(6), bad(12), bad(14));
        let (connections, migrations, backlog) = (bad(8), bad(10), bad(10));
        let (memory, disk, sessions, success, verified) = (bad(12), bad(16), bad(14), bad(20), bad(22));
        let state = |level: f64, good: f64, bad: f64| if level > 1.0 { bad } else { good };
        // A target that is unreachable, and one that is gone.
        if down < 1.8 {
            self.gauge(Source::Prometheus, "up", state(down, 1.0, 0.0));
        }
        let server = [
            ("parlant_database_up", state(database, 1.0, 0.0)),
            (
                "parlant_health_status",
                if time / 3600 % 2 == 0 { state(status, 2.0, 0.0) } else { state(status, 2.0, 1.0) },
            ),
            (r#"parlant_health_check_status{check="database"}"#, state(database, 2.0, 0.0)),
            (r#"parlant_health_check_status{check="sim_api"}"#, state(check, 2.0, 0.0)),
            (r#"parlant_health_check_status{check="memory"}"#, state(memory, 2.0, 1.0)),
            (r#"parlant_database_connections{state="active"}"#, 8.0 * connections),
            (r#"parlant_database_connections{state="idle"}"#, 8.0),
            ("parlant_database_connections_max", 10.0),
            (r#"parlant_database_connections{pool="sim",state="active"}"#, 5.0 * connections),
            (r#"parlant_database_connections_max{pool="sim"}"#, if migrations > 1.0 { 0.0 } else { 5.0 }),
            ("parlant_migrations_pending", state(migrations, 0.0, 3.0)),
            ("parlant_engine_outbox_oldest_seconds", 120.0 * backlog),
            ("process_resident_memory_bytes", 2_147_483_648.0 * memory),
            (r#"parlant_disk_used_ratio{mountpoint="/"}"#, 0.85 * disk),
            (
                r#"parlant_disk_used_ratio{mountpoint="/backup"}"#,
                if sessions > 1.8 { f64::NAN } else { 0.9 * sessions },
            ),
            ("parlant_active_sessions", (1000.0 * sessions).round()),
        ];
        for (series, value) in server {
            self.gauge(Source::Server, series, value);
        }
        // At first, no backup was ever made.
        if time > 3600 {
            let moment = |age: f64| now - 93_600.0 * age;
            self.gauge(Source::NodeExporter, "parlant_backup_last_success_timestamp_seconds", moment(success));
            self.gauge(Source::NodeExporter, "parlant_backup_last_verified_timestamp_seconds", moment(verified));
        }
    }

    /// Writes down what a scrape finds, if there is one.
    fn is_seen(&mut self, step: u32) {
        // It is killed now and then and comes back at once, or after a while; a scrape fails; a series is forgotten.
        if step % 190 == 150 {
            self.counters.clear();
        }
        let (gone, hidden) = (step % 190 < 3 && step > 3 || (600..613).contains(&step), step % 70 == 60);
        let seen = self.page.iter().filter(|((source, series), _)| match source {
            Source::Server => !gone && !(hidden && series.contains("503")),
            Source::Prometheus => true,
            Source::NodeExporter => step % 400 != 399,
        });
        let page = seen.map(|(series, value)| (series.clone(), *value)).collect();
        self.pages.push(page);
    }
}

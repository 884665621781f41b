use std::sync::{Arc, Mutex};

use parlant_telemetry::{Format, Lines};
use proptest::prelude::*;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

/// What Python, JavaScript or a terminal takes for the end of a line.
const LINE_ENDS: [char; 10] =
    ['\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];

/// Arbitrary text, with what is dangerous made frequent.
fn text() -> impl Strategy<Value = String> {
    let dangerous = prop::sample::select(vec![
        "\n",
        "\r",
        "\"",
        "\\",
        "\\n",
        "\"}\n{\"",
        "\u{0}",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{9b}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{fffd}",
        "\u{10ffff}",
        "null",
        r#"{"level":"ERROR"}"#,
        "%s",
        "{}",
    ]);
    let piece = prop_oneof![dangerous.prop_map(str::to_owned), any::<String>(), "[ -~]{0,20}"];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn written(format: Format, work: impl FnOnce()) -> Vec<String> {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let sink = Arc::clone(&lines);
    let layer = Lines::new(format, move |line| sink.lock().unwrap().push(line.to_owned()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    lines.lock().unwrap().clone()
}

/// One line, which every reader takes for one.
fn one(lines: &[String]) -> &str {
    assert_eq!(lines.len(), 1);
    let line = lines[0].strip_suffix('\n').unwrap();
    assert!(!line.contains(LINE_ENDS), "{line:?}");
    assert!(!line.chars().any(char::is_control), "{line:?}");
    line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_line_is_one_json_object_with_its_fields_intact(
        message in text(), context in text(), field in text(), number in any::<i64>(), float in any::<f64>(),
        wide in any::<u128>(), bytes in any::<Vec<u8>>(),
    ) {
        let lines = written(Format::Json, || {
            let span = tracing::info_span!("request", request_id = context, user_id = tracing::field::Empty);
            let _entered = span.enter();
            span.record("user_id", field.as_str());
            tracing::info!(field, number, float, wide, bytes = &bytes[..], debug = ?field, level = field, "{message}");
        });
        let line: Value = serde_json::from_str(one(&lines)).unwrap();
        prop_assert_eq!(&line["message"], &message);
        prop_assert_eq!(&line["request_id"], &context);
        prop_assert_eq!(&line["user_id"], &field);
        prop_assert_eq!(&line["field"], &field);
        prop_assert_eq!(&line["field.level"], &field);
        prop_assert_eq!(&line["level"], "INFO");
        prop_assert_eq!(&line["number"], number);
        // As text: reading it back as a number may be one off in the last place.
        let float = format!(r#","float":{},"#, Value::from(float));
        prop_assert!(lines[0].contains(&float), "{float}: {}", lines[0]);
        prop_assert_eq!(&line["wide"], &wide.to_string());
        prop_assert_eq!(&line["debug"], &format!("{field:?}"));
        // Every name is there once.
        prop_assert_eq!(lines[0].matches("\"timestamp\":").count(), 1);
    }

    #[test]
    fn a_line_of_text_is_one_line_and_drives_no_terminal(message in text(), field in text()) {
        let lines = written(Format::Text, || tracing::info!(field, "{message}"));
        one(&lines);
    }

    #[test]
    fn a_huge_field_leaves_the_line_whole(text in text(), times in 1..4000_usize) {
        let huge = text.repeat(times);
        let lines = written(Format::Json, || {
            let _entered = tracing::info_span!("request", request_id = "r-1").entered();
            tracing::info!(a = huge, b = huge, c = huge, d = huge, "{huge}");
        });
        let line: Value = serde_json::from_str(one(&lines)).unwrap();
        prop_assert_eq!(&line["request_id"], "r-1");
        prop_assert!(lines[0].len() < 48 * 1024, "{}", lines[0].len());
        let a = line["a"].as_str().unwrap();
        prop_assert!(a == huge || a.ends_with(" bytes more]") && huge.len() > 2000, "{a}");
    }
}

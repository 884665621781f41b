use parlant_conversations::{DeliveryConfig, Limits, VARIABLES};
use parlant_settings::Settings;

#[test]
fn limits_default_to_a_hundred_and_cannot_be_nothing() {
    let none: [(&str, &str); 0] = [];
    let mut settings = Settings::from_pairs(none);
    assert_eq!(Limits::from_settings(&mut settings), Limits::default());
    settings.finish().unwrap();

    let mut settings = Settings::from_pairs(VARIABLES.iter().map(|variable| (variable.name, "0")));
    Limits::from_settings(&mut settings);
    let problems = settings.finish().unwrap_err().to_string();
    assert_eq!(problems, "MAX_AGENTS_PER_WORKSPACE: must be at least 1\nMAX_SESSIONS_PER_USER: must be at least 1");
}

#[test]
fn bounds_of_delivery_have_defaults_and_cannot_be_nothing() {
    let none: [(&str, &str); 0] = [];
    let mut settings = Settings::from_pairs(none);
    assert_eq!(DeliveryConfig::from_settings(&mut settings), DeliveryConfig::default());
    settings.finish().unwrap();

    let mut settings = Settings::from_pairs(VARIABLES.iter().map(|variable| (variable.name, "0")));
    DeliveryConfig::from_settings(&mut settings);
    let problems = settings.finish().unwrap_err().to_string();
    let expected = "PARLANT_MAX_TURNS: must be at least 1\nPARLANT_TURN_TIMEOUT: must be longer than nothing\n\
                    PARLANT_DELIVERY_TIMEOUT: must be longer than nothing";
    assert_eq!(problems, expected);
}

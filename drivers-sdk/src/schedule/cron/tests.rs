use jiff::Zoned;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn at(time: &str) -> SystemTime {
    time.parse::<Timestamp>().unwrap().into()
}

/// The next times, as the clock of the zone shows them.
fn next(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let mut after = at(after);
    let cron = Cron::new(expression, zone, after).unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        after = cron.next(after).unwrap();
        let shown = Timestamp::try_from(after).unwrap().to_zoned(TimeZone::get(zone).unwrap());
        found.push(shown.strftime("%a %Y-%m-%d %H:%M %Z").to_string());
    }
    found
}

fn refused(expression: &str, zone: &str) -> String {
    let error = Cron::new(expression, zone, at("2026-11-22T00:00:00Z")).unwrap_err();
    assert_eq!(error.code(), "bad_request");
    error.message().to_owned()
}

#[test]
fn expressions_come_due_as_they_say() {
    let now = "2026-11-22T08:59:30Z"; // A Sunday.
    for (expression, expected) in [
        ("* * * * *", vec!["Sun 2026-11-22 09:00 UTC", "Sun 2026-11-22 09:01 UTC"]),
        ("0 7 * * MON-FRI", vec!["Mon 2026-11-23 07:00 UTC", "Tue 2026-11-24 07:00 UTC"]),
        ("*/20 8-10/2 * * *", vec!["Sun 2026-11-22 10:00 UTC", "Sun 2026-11-22 10:20 UTC"]),
        (
            "5/25 9 * * *",
            vec!["Sun 2026-11-22 09:05 UTC", "Sun 2026-11-22 09:30 UTC", "Sun 2026-11-22 09:55 UTC"],
        ),
        ("0 12 * * 7,sat", vec!["Sun 2026-11-22 12:00 UTC", "Sat 2026-11-28 12:00 UTC"]),
        (
            "0 0 1,25 * 1",
            vec!["Mon 2026-11-23 00:00 UTC", "Wed 2026-11-25 00:00 UTC", "Mon 2026-11-30 00:00 UTC"],
        ),
        ("0 0 29 feb *", vec!["Tue 2028-02-29 00:00 UTC", "Sun 2032-02-29 00:00 UTC"]),
        ("@monthly", vec!["Tue 2026-12-01 00:00 UTC", "Fri 2027-01-01 00:00 UTC"]),
        ("@hourly", vec!["Sun 2026-11-22 09:00 UTC"]),
    ] {
        assert_eq!(next(expression, "UTC", now, expected.len()), expected, "{expression}");
    }
}

#[test]
fn where_the_clock_is_set_a_time_is_not_lost_and_does_not_come_twice() {
    let spring = "2026-03-28T12:00:00Z"; // At 01:00 on the 29th it is 02:00 in London.
    let daily = next("30 1 * * *", "Europe/London", spring, 2);
    assert_eq!(daily, ["Sun 2026-03-29 02:30 BST", "Mon 2026-03-30 01:30 BST"]);
    let evenly = next("*/30 * * * *", "Europe/London", "2026-03-29T00:10:00Z", 3);
    assert_eq!(evenly, ["Sun 2026-03-29 00:30 GMT", "Sun 2026-03-29 02:00 BST", "Sun 2026-03-29 02:30 BST"]);

    let autumn = "2026-10-24T12:00:00Z"; // At 02:00 on the 25th it is 01:00 again.
    let daily = next("30 1 * * *", "Europe/London", autumn, 2);
    assert_eq!(daily, ["Sun 2026-10-25 01:30 BST", "Mon 2026-10-26 01:30 GMT"]);
    let evenly = next("*/30 * * * *", "Europe/London", "2026-10-25T00:10:00Z", 4);
    assert_eq!(
        evenly,
        [
            "Sun 2026-10-25 01:30 BST",
            "Sun 2026-10-25 01:00 GMT",
            "Sun 2026-10-25 01:30 GMT",
            "Sun 2026-10-25 02:00 GMT"
        ]
    );
    // Half an hour, and rules that reach beyond every table.
    assert_eq!(next("0 7 * * *", "Australia/Lord_Howe", "2090-10-01T00:00:00Z", 1).len(), 1);
    assert_eq!(next("0 7 1 7 *", "Europe/London", "2090-01-01T00:00:00Z", 1), ["Sat 2090-07-01 07:00 BST"]);
}

#[test]
fn what_is_wrong_is_said() {
    for (expression, what) in [
        (
            "0 7 * *",
            "it takes five fields: minute, hour, day of the month, month, day of the week, and this has 4",
        ),
        ("61 * * * *", "the minute `61` is not from 0 to 59"),
        ("0 x * * *", "the hour `x` is not from 0 to 23"),
        ("0 0 * * MO", "the day of the week `MO` is not from 0 to 7"),
        ("0 0 0 * *", "the day of the month `0` is not from 1 to 31"),
        ("0 18-8 * * *", "the hour `18-8` ends before it begins"),
        ("*/0 * * * *", "the step in the minute `*/0` is not a number from 1 on"),
        ("0 0 30 feb *", "there is no such day"),
    ] {
        assert_eq!(refused(expression, "UTC"), format!("cron `{expression}`: {what}"));
    }
    let zone = "`Europe/Londn` is no time zone: write it as `Europe/London` or `UTC`";
    assert_eq!(refused("@daily", "Europe/Londn"), zone);
}

fn numbers(low: u8, high: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        2 => vec(low..=high, 1..4).prop_map(|all| all.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
        1 => (low..=high, low..=high, 1u8..9).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the definition: minute after minute until the clock shows what the fields allow.
    #[test]
    fn nothing_is_skipped(
        minute in numbers(0, 59), hour in numbers(0, 23), day in numbers(1, 28), weekday in numbers(0, 7),
        hours in 0i64..17_500, zone in prop::sample::select(&["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"][..]),
    ) {
        let after = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + hours.hours();
        let cron = Cron::new(&format!("{minute} {hour} {day} * {weekday}"), zone, after.into()).unwrap();
        let found = Timestamp::try_from(cron.next(after.into()).unwrap()).unwrap();
        prop_assert!(found > after);
        let clock = |time: Timestamp| -> Zoned { time.to_zoned(TimeZone::get(zone).unwrap()) };
        let mut time = after + 1.minute();
        // Far enough to meet one that was skipped, where there is any.
        for _ in 0..20_000 {
            let shown = clock(time);
            let first = shown.time_zone().to_timestamp(shown.datetime()).unwrap() == time;
            if time >= found || (cron.matches(shown.datetime()) && (cron.hour.any || first)) {
                break;
            }
            time += 1.minute();
        }
        // A time that the clock skipped comes later than it says, so it is no match by the clock.
        let shifted = !cron.matches(clock(found).datetime());
        prop_assert!(time <= found);
        if !shifted && time < after + 20_000.minutes() {
            prop_assert_eq!(time, found);
        }
    }

    #[test]
    fn no_text_panics(expression in "[-0-9A-Z*/,@ ]{0,30}", zone in "[A-Za-z/]{0,12}") {
        let _ = Cron::new(&expression, &zone, at("2026-11-22T00:00:00Z"));
        let _ = Cron::new(&expression, "UTC", at("2026-11-22T00:00:00Z"));
    }
}

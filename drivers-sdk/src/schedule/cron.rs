//! When a cron expression comes due, by the clock of a time zone.

use std::time::SystemTime;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::error::{Error, Result};

/// How far ahead a day is looked for: 29 February is absent for eight years around 2100.
const DAYS: u32 = 9 * 366;

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A cron expression and its zone.
#[derive(Debug)]
pub(super) struct Cron {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
    zone: TimeZone,
}

/// The numbers that a field allows, as bits.
#[derive(Clone, Copy, Debug)]
struct Field {
    bits: u64,
    /// It is `*`, or begins so.
    any: bool,
}

impl Field {
    fn has(self, number: i8) -> bool {
        (self.bits >> number) & 1 == 1
    }

    /// The first number it allows from this one on.
    fn first(self, from: i8) -> Option<i8> {
        let rest = self.bits & u64::MAX.checked_shl(u32::try_from(from).ok()?)?;
        (rest != 0).then(|| rest.trailing_zeros() as i8)
    }
}

impl Cron {
    /// Reads an expression, which must come due some time after `now`.
    pub(super) fn new(expression: &str, zone: &str, now: SystemTime) -> Result<Cron> {
        let wrong = |what: String| Error::bad_request(format!("cron `{expression}`: {what}"));
        let text = match expression.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * SUN",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            text => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let what = "it takes five fields: minute, hour, day of the month, month, day of the week";
            return Err(wrong(format!("{what}, and this has {}", fields.len())));
        };
        let mut weekdays = field("day of the week", weekday, 0, 7, WEEKDAYS, 0).map_err(wrong)?;
        // Sunday is 0 and 7.
        weekdays.bits |= (weekdays.bits >> 7) & 1;
        let cron = Cron {
            minute: field("minute", minute, 0, 59, &[], 0).map_err(wrong)?,
            hour: field("hour", hour, 0, 23, &[], 0).map_err(wrong)?,
            day: field("day of the month", day, 1, 31, &[], 0).map_err(wrong)?,
            month: field("month", month, 1, 12, MONTHS, 1).map_err(wrong)?,
            weekday: weekdays,
            zone: TimeZone::get(zone).map_err(|_| {
                Error::bad_request(format!("`{zone}` is no time zone: write it as `Europe/London` or `UTC`"))
            })?,
        };
        match cron.next(now) {
            Some(_) => Ok(cron),
            None => Err(wrong("there is no such day".into())),
        }
    }

    /// It is in this zone from now on, if there is such a zone.
    pub(super) fn follow(&mut self, zone: &str) {
        if self.zone.iana_name() != Some(zone)
            && let Ok(zone) = TimeZone::get(zone)
        {
            self.zone = zone;
        }
    }

    /// When it comes due next.
    pub(super) fn next(&self, after: SystemTime) -> Option<SystemTime> {
        let after = Timestamp::try_from(after).ok()?;
        let next = if self.hour.any { self.next_evenly(after) } else { self.next_by_clock(after) };
        next.map(SystemTime::from)
    }

    /// By the clock alone: what it skips is an hour later, and of what comes twice the first counts.
    fn next_by_clock(&self, after: Timestamp) -> Option<Timestamp> {
        let mut clock = self.zone.to_datetime(after);
        loop {
            clock = self.next_on_clock(clock)?;
            let time = self.zone.to_timestamp(clock).ok()?;
            if time > after {
                return Some(time);
            }
        }
    }

    /// As time goes on: what the clock skips is skipped, and what comes twice counts twice.
    fn next_evenly(&self, mut after: Timestamp) -> Option<Timestamp> {
        loop {
            let offset = self.zone.to_offset(after);
            let next = offset.to_timestamp(self.next_on_clock(offset.to_datetime(after))?).ok()?;
            let Some(change) =
                self.zone.following(after).next().map(|change| change.timestamp()).filter(|at| *at <= next)
            else {
                return Some(next);
            };
            // The clock is set before that.
            if self.matches(self.zone.to_datetime(change)) {
                return Some(change);
            }
            after = change;
        }
    }

    fn matches(&self, clock: DateTime) -> bool {
        let whole = clock.second() == 0 && clock.subsec_nanosecond() == 0;
        whole && self.minute.has(clock.minute()) && self.hour.has(clock.hour()) && self.has_day(clock.date())
    }

    /// If both days are given, either will do.
    fn has_day(&self, date: Date) -> bool {
        let (day, weekday) =
            (self.day.has(date.day()), self.weekday.has(date.weekday().to_sunday_zero_offset()));
        let either = !self.day.any && !self.weekday.any;
        self.month.has(date.month()) && if either { day || weekday } else { day && weekday }
    }

    /// The first minute after this one that the fields allow, whatever the zone makes of it.
    fn next_on_clock(&self, after: DateTime) -> Option<DateTime> {
        let from = after.checked_add(1.minute()).ok()?;
        let mut date = from.date();
        for day in 0..DAYS {
            let (hour, minute) = if day == 0 { (from.hour(), from.minute()) } else { (0, 0) };
            if self.has_day(date)
                && let Some((hour, minute)) = self.time(hour, minute)
            {
                return Some(date.at(hour, minute, 0, 0));
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The first time of a day from this one on.
    fn time(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        if self.hour.has(hour)
            && let Some(minute) = self.minute.first(minute)
        {
            return Some((hour, minute));
        }
        Some((self.hour.first(hour + 1)?, self.minute.first(0)?))
    }
}

/// Reads a field: a list of `*`, numbers, names and ranges, with steps. The names are those of the numbers from `named` on.
fn field(what: &str, text: &str, low: u8, high: u8, names: &[&str], named: u8) -> Result<Field, String> {
    let number = |text: &str| {
        let name = names.iter().zip(named..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let number = name.map(|(_, number)| number).or_else(|| text.parse().ok());
        number
            .filter(|number| (low..=high).contains(number))
            .ok_or_else(|| format!("the {what} `{text}` is not from {low} to {high}"))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (number(from)?, number(to)?),
            // `5/15`: from 5 on.
            None if step.is_some() => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(format!("the {what} `{range}` ends before it begins"));
        }
        let step = match step.map(str::parse::<u8>) {
            None => 1,
            Some(Ok(step)) if step > 0 => step,
            Some(_) => return Err(format!("the step in the {what} `{part}` is not a number from 1 on")),
        };
        bits |= (from..=to).step_by(step.into()).fold(0, |bits, number| bits | 1 << number);
    }
    Ok(Field { bits, any: text.starts_with('*') })
}

#[cfg(test)]
mod tests;

//! Typed values of conditions: numbers, times, addresses, truth.
//!
//! Owns how a text becomes one of them; the same for a policy, where what does not parse is refused when it is put,
//! and for a request, where it matches nothing (XP6 of the hostile inputs).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A decimal number, exact: billionths. At most 18 digits before the point and 9 behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(i128);

impl Number {
    /// `-1`, `10`, `2.50`. Neither exponents nor other bases (IAM: "integer or decimal").
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) =
            digits.split_once('.').map_or((digits, "0"), |(whole, fraction)| (whole, fraction));
        let digits = |part: &str, most| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 18) || !digits(fraction, 9) {
            return None;
        }
        let behind = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let billionths =
            whole.bytes().chain(behind).fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        Some(Self(sign * billionths))
    }
}

/// A point in time: RFC 3339, the forms of it without seconds and without a time, or seconds since 1970 (IAM user
/// guide, "Date condition operators"; W3C NOTE-datetime). Local time, without an offset, is none.
pub fn date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(seconds) = text.parse::<i64>() {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    // Digits where the form has a 0, elsewhere what it has.
    let begins = |form: &str| {
        let same = |(byte, form): (u8, u8)| byte == form || (form == b'0' && byte.is_ascii_digit());
        text.len() >= form.len() && text.bytes().zip(form.bytes()).all(same)
    };
    if begins("0000-00-00T00:00:00") {
        return OffsetDateTime::parse(text, &Rfc3339).ok();
    }
    let full = if begins("0000-00-00T00:00") {
        format!("{}:00{}", &text[..16], &text[16..])
    } else if begins("0000-00-00") && text.len() == 10 {
        format!("{text}T00:00:00Z")
    } else {
        return None;
    };
    OffsetDateTime::parse(&full, &Rfc3339).ok()
}

/// A client's address. One of IPv4 that came over an IPv6 socket is one of IPv4.
pub fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A network `10.0.0.0/8`, `2001:db8::/32`, or one address.
pub fn network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    // What [`address`] does.
    match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
            Some(address) => Ipv4Net::new(address, mapped.prefix_len() - 96).ok().map(IpNet::V4),
            None => Some(network),
        },
        _ => Some(network),
    }
}

/// `true` or `false`, in any case.
pub fn truth(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_exact_decimals() {
        let number = |text| Number::parse(text).unwrap();
        assert!(number("2") < number("10") && number("-10") < number("-2") && number("-0") == number("0.0"));
        assert!(number("0.1") == number("00.100") && number("1.000000001") > number("1"));
        assert!(number("999999999999999999") > number("999999999999999998.999999999"));
        let long = "1".repeat(19);
        for bad in [
            "",
            "-",
            "+1",
            "1.",
            ".5",
            "0x10",
            "1e3",
            " 1",
            "1 ",
            "1,5",
            "NaN",
            "inf",
            "٣",
            "--1",
            "1.0000000001",
            &long,
        ] {
            assert_eq!(Number::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn dates_name_their_offset_or_count_seconds() {
        let start = date("2020-01-01").unwrap();
        for same in [
            "2020-01-01T00:00Z",
            "2020-01-01T00:00:00Z",
            "2020-01-01T00:00:00.000Z",
            "2020-01-01T01:30:00+01:30",
            "2019-12-31T23:00-01:00",
            "1577836800",
        ] {
            assert_eq!(date(same), Some(start), "{same}");
        }
        assert!(date("-1").unwrap() < date("0").unwrap() && date("9999-12-31T23:59:59Z").is_some());
        assert!(date("2020-02-29").is_some());
        for bad in [
            "",
            "2020-01-01T00:00:00",
            "2020-01-01T00:00",
            "2020-01-01 00:00:00Z",
            "2020-1-1",
            "2021-02-29",
            "2020-13-01",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:60Z",
            "20200101T000000Z",
            "10000-01-01",
            "2020-01-01T00:00é",
            "2020-01-01T00:00:00Z\0",
            "99999999999999999999",
            "9223372036854775807",
            "tomorrow",
        ] {
            assert_eq!(date(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn networks_are_cidr_of_both_families() {
        let contains = |net, text| network(net).unwrap().contains(&address(text).unwrap());
        for (net, inside, outside) in [
            ("10.0.0.0/8", "10.1.1.1", "8.8.8.8"),
            ("10.9.9.9/8", "10.1.1.1", "11.0.0.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::1", "10.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:8.8.8.8"),
        ] {
            assert!(contains(net, inside) && !contains(net, outside), "{net}");
        }
        for bad in [
            "",
            "10.1",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "/8",
            "010.0.0.1",
            "10.0.0.0/-1",
            "10.0.0.0/8 ",
            "::1%eth0",
            "١٠.0.0.0/8",
        ] {
            assert_eq!(network(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn truth_has_two_words() {
        assert_eq!(["true", "False", "1", "yes", ""].map(truth), [Some(true), Some(false), None, None, None]);
    }

    proptest! {
        #[test]
        fn any_text_parses_without_panic(text in "[0-9]{0,4}[-T:.Z+0-9é/]{0,24}") {
            let _ = (Number::parse(&text), date(&text), address(&text), network(&text));
        }
    }
}

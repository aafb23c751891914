//! Sizes as people write them.

/// Bytes of `2TiB`, `500GB`, `1024`: binary units with an i, decimal ones without.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32, u64); 12] = [
        ("", 0, 1),
        ("B", 0, 1),
        ("KIB", 1, 1024),
        ("KB", 1, 1000),
        ("MIB", 2, 1024),
        ("MB", 2, 1000),
        ("GIB", 3, 1024),
        ("GB", 3, 1000),
        ("TIB", 4, 1024),
        ("TB", 4, 1000),
        ("PIB", 5, 1024),
        ("PB", 5, 1000),
    ];
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let factor = UNITS.iter().find(|(name, ..)| *name == unit).map(|(_, power, base)| base.pow(*power));
    let bytes =
        number.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    bytes.ok_or_else(|| "a size such as 2TiB, 500GB or 1048576 is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let read = ["0", "17", "1KiB", "2 TiB", "3gb"].map(parse);
        assert_eq!(read, [Ok(0), Ok(17), Ok(1024), Ok(2 << 40), Ok(3_000_000_000)]);
        for wrong in ["", "TiB", "-1", "1.5TiB", "1XB", "99999999PiB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Telephone numbers: what is dialled in a country, in the one form that all countries share (ITU-T E.164), and
//! back into the forms that carriers want.

/// Digits of an E.164 number at least and at most, its country code among them.
const SHORTEST: usize = 7;
const LONGEST: usize = 15;

/// How numbers are dialled where the gateway stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    /// The country code, such as `49`; empty: only numbers with `+` are known for what they are.
    pub country: String,
    /// The area code without the trunk prefix, for numbers dialled within the area; may be empty.
    pub area: String,
    /// What goes before a national number: `0`, `1`, or nothing.
    pub trunk_prefix: String,
    /// What goes before an international number: `00`, `011`.
    pub international: Vec<String>,
    /// Digits that a number without any prefix has at least; shorter ones are extensions and services.
    pub local_digits: usize,
}

/// Why a number cannot be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNumber;

/// The form in which a carrier wants numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// As it is.
    #[default]
    Unchanged,
    /// `+4930123456`.
    E164,
    /// `4930123456`.
    Digits,
    /// As dialled within the country: `030123456`; numbers of other countries `0044…`.
    National,
    /// With the international prefix: `004930123456`.
    International,
}

impl Numbering {
    /// The E.164 form of a number, with its `+`. `None` for what is no number of the public network: an extension, a
    /// service number, a code with `*` or `#`.
    ///
    /// # Errors
    /// The number says by its prefix that it is a public one, but is too short or too long for one.
    pub fn e164(&self, dialled: &str) -> Result<Option<String>, BadNumber> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if let Some(rest) = dialled.strip_prefix('+') {
            return public(rest).map(Some);
        }
        if !digits(dialled) {
            return Ok(None);
        }
        if self.country.is_empty() {
            return Ok(None);
        }
        let prefixes = self.international.iter().filter(|p| !p.is_empty());
        if let Some(rest) = prefixes.filter_map(|p| dialled.strip_prefix(p.as_str())).next() {
            return public(rest).map(Some);
        }
        let national = match dialled.strip_prefix(self.trunk_prefix.as_str()) {
            Some(rest) if !self.trunk_prefix.is_empty() => format!("{}{rest}", self.country),
            _ if dialled.len() < self.local_digits.max(1) => return Ok(None),
            _ => format!("{}{}{dialled}", self.country, self.area),
        };
        public(&national).map(Some)
    }

    /// A number as a carrier wants it. What is not in E.164 form stays as it is.
    pub fn write(&self, number: &str, form: NumberForm) -> String {
        let Some(digits) = number.strip_prefix('+') else {
            return number.to_owned();
        };
        let international = || {
            let prefix = self.international.first().map_or("00", String::as_str);
            format!("{prefix}{digits}")
        };
        match form {
            NumberForm::Unchanged | NumberForm::E164 => number.to_owned(),
            NumberForm::Digits => digits.to_owned(),
            NumberForm::International => international(),
            NumberForm::National => match digits.strip_prefix(self.country.as_str()) {
                Some(rest) if !self.country.is_empty() => format!("{}{rest}", self.trunk_prefix),
                _ => international(),
            },
        }
    }
}

/// The digits of a public number with their `+`.
fn public(digits: &str) -> Result<String, BadNumber> {
    let fits = (SHORTEST..=LONGEST).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    // No country code begins with 0.
    if fits && !digits.starts_with('0') {
        Ok(format!("+{digits}"))
    } else {
        Err(BadNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn germany(area: &str) -> Numbering {
        Numbering {
            country: "49".into(),
            area: area.into(),
            trunk_prefix: "0".into(),
            international: vec!["00".into()],
            local_digits: 5,
        }
    }

    fn america() -> Numbering {
        Numbering {
            country: "1".into(),
            area: String::new(),
            trunk_prefix: "1".into(),
            international: vec!["011".into()],
            local_digits: 10,
        }
    }

    #[test]
    fn what_is_dialled_becomes_one_form() {
        let de = germany("30");
        let e164 = |n: &Numbering, s: &str| n.e164(s).map(|n| n.unwrap_or_else(|| "-".to_owned()));
        for (dialled, wanted) in [
            ("030123456", "+4930123456"),
            ("0044201234567", "+44201234567"),
            ("+44201234567", "+44201234567"),
            ("123456", "+4930123456"),
            ("110", "-"),
            ("*21#", "-"),
        ] {
            assert_eq!(e164(&de, dialled).as_deref(), Ok(wanted), "{dialled}");
        }
        let us = america();
        for (dialled, wanted) in [
            ("12125550100", "+12125550100"),
            ("2125550100", "+12125550100"),
            ("0114930123456", "+4930123456"),
            ("911", "-"),
            ("5550100", "-"),
        ] {
            assert_eq!(e164(&us, dialled).as_deref(), Ok(wanted), "{dialled}");
        }
        assert_eq!(e164(&Numbering::default(), "030123456").as_deref(), Ok("-"));
        assert_eq!(
            e164(&Numbering::default(), "+4930123456").as_deref(),
            Ok("+4930123456")
        );
    }

    #[test]
    fn public_numbers_have_seven_to_fifteen_digits_and_no_country_is_zero() {
        let de = germany("");
        for bad in [
            "+49",
            "+49301",
            "+1234567890123456",
            "+0301234567",
            "00491",
            "0301",
            "+49x0123456",
        ] {
            assert_eq!(de.e164(bad), Err(BadNumber), "{bad}");
        }
        assert!(de.e164("+123456789012345").is_ok());
    }

    #[test]
    fn carriers_get_the_form_they_want() {
        let de = germany("");
        let form = |number, form| de.write(number, form);
        assert_eq!(form("+4930123456", NumberForm::E164), "+4930123456");
        assert_eq!(form("+4930123456", NumberForm::Digits), "4930123456");
        assert_eq!(form("+4930123456", NumberForm::National), "030123456");
        assert_eq!(form("+4930123456", NumberForm::International), "004930123456");
        assert_eq!(form("+44201234567", NumberForm::National), "0044201234567");
        assert_eq!(form("112", NumberForm::E164), "112");
    }
}

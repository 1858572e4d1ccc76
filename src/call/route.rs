//! Numbers and names to trunks: the `[[route]]` table.

use std::time::Duration;

use regex::Regex;

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTo {
    /// These trunks, tried in order.
    Trunks(Vec<String>),
}

/// Why a route cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The pattern is not a regular expression.
    #[error("not a regular expression: {0}")]
    Pattern(#[from] regex::Error),
}

/// One `[[route]]`: the first whose pattern matches a target decides.
#[derive(Clone, Debug)]
pub struct Route {
    pattern: Regex,
    from: Option<Regex>,
    to: RouteTo,
    rewrite: Option<String>,
    caller_id: Option<String>,
    max_duration: Option<Duration>,
}

impl Route {
    /// A route for targets that match `pattern` in full, for callers whose user name matches `from` (all
    /// authenticated callers when absent); `rewrite` may use the pattern's groups (`$1`).
    pub fn new(
        pattern: &str,
        from: Option<&str>,
        to: RouteTo,
        rewrite: Option<&str>,
    ) -> Result<Route, RouteError> {
        let whole = |p: &str| Regex::new(&format!("^(?:{p})$"));
        Ok(Route {
            pattern: whole(pattern)?,
            from: from.map(whole).transpose()?,
            to,
            rewrite: rewrite.map(str::to_owned),
            caller_id: None,
            max_duration: None,
        })
    }

    /// What the trunk is told as the caller's user name, and how long a call by this route may last; `None`
    /// for the trunk's own and for no limit.
    #[must_use]
    pub fn with(mut self, caller_id: Option<String>, max_duration: Option<Duration>) -> Route {
        self.caller_id = caller_id;
        self.max_duration = max_duration;
        self
    }

    /// Where it leads.
    pub fn to(&self) -> &RouteTo {
        &self.to
    }

    /// The user name to show as the caller's, if it is set.
    pub fn caller_id(&self) -> Option<&str> {
        self.caller_id.as_deref()
    }

    /// The longest a call may last, if it is set.
    pub fn max_duration(&self) -> Option<Duration> {
        self.max_duration
    }
}

/// All routes, in the order of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// From the configured list.
    pub fn new(routes: Vec<Route>) -> Routes {
        Routes(routes)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where `number` leads for an authenticated caller, with the number as the trunk is to see it.
    pub fn find(&self, number: &str, caller: &str) -> Option<(&Route, String)> {
        let route = self.0.iter().find(|r| {
            r.pattern.is_match(number) && r.from.as_ref().is_none_or(|from| from.is_match(caller))
        })?;
        let dialled = match &route.rewrite {
            Some(rewrite) => route.pattern.replace(number, rewrite.as_str()).into_owned(),
            None => number.to_owned(),
        };
        Some((route, dialled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_full_match_wins_and_rewrites() {
        let to = |t: &str| RouteTo::Trunks(vec![t.into()]);
        let routes = Routes::new(vec![
            Route::new(r"0(\d+)", None, to("de"), Some("+49$1")).unwrap(),
            Route::new(r"\+?\d+", Some("alice|bob"), to("world"), None).unwrap(),
        ]);
        let find = |number, caller| {
            routes
                .find(number, caller)
                .map(|(route, dialled)| (route.to().clone(), dialled))
        };
        assert_eq!(find("030123", "x"), Some((to("de"), "+4930123".into())));
        assert_eq!(
            find("+15550100", "alice"),
            Some((to("world"), "+15550100".into()))
        );
        assert_eq!(find("+15550100", "alicex"), None);
        assert_eq!(find("030123x", "alice"), None);
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        assert!(Route::new("(", None, RouteTo::Trunks(vec![]), None).is_err());
    }
}

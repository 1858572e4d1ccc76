//! Numbers and names to trunks: the `[[route]]` table.

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
        })
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
    pub fn find(&self, number: &str, caller: &str) -> Option<(&RouteTo, String)> {
        let route = self.0.iter().find(|r| {
            r.pattern.is_match(number) && r.from.as_ref().is_none_or(|from| from.is_match(caller))
        })?;
        let dialled = match &route.rewrite {
            Some(rewrite) => route.pattern.replace(number, rewrite.as_str()).into_owned(),
            None => number.to_owned(),
        };
        Some((&route.to, dialled))
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
        assert_eq!(routes.find("030123", "x"), Some((&to("de"), "+4930123".into())));
        assert_eq!(
            routes.find("+15550100", "alice"),
            Some((&to("world"), "+15550100".into()))
        );
        assert_eq!(routes.find("+15550100", "alicex"), None);
        assert_eq!(routes.find("030123x", "alice"), None);
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        assert!(Route::new("(", None, RouteTo::Trunks(vec![]), None).is_err());
    }
}

//! Regular expressions that the program brings itself.

/// A static regular expression of a constant pattern.
macro_rules! pattern {
    ($(#[$about:meta])* $name:ident, $pattern:expr) => {
        $(#[$about])*
        static $name: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| {
            regex::Regex::new($pattern).expect("the pattern is a constant")
        });
    };
}
pub(crate) use pattern;

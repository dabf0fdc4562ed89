//! What a chat template may call: transformers' functions, and operators, filters and methods that draw on a budget.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, context};
use minijinja_contrib::pycompat;

use super::budget::{Budget, LARGEST_NUMBER};
use super::python_json;

/// The filters that copy what they get or make more of it.
const COPYING: [&str; 25] = [
    "batch",
    "capitalize",
    "chain",
    "dictsort",
    "e",
    "escape",
    "format",
    "groupby",
    "indent",
    "items",
    "join",
    "lines",
    "list",
    "lower",
    "pprint",
    "replace",
    "reverse",
    "slice",
    "sort",
    "split",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
];

/// The engine as it comes, which does the work after the budget has allowed it.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);

/// The names under which the operators are called, which no template can write.
pub(super) const ADD: &str = "a + b";
pub(super) const MULTIPLY: &str = "a * b";
pub(super) const CONCATENATE: &str = "a ~ b";
pub(super) const SLICE: &str = "a[b:c:d]";

/// The engine with everything that a chat template may call.
pub(super) fn limited(budget: &Arc<Budget>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.add_function("raise_exception", |message: String| {
        Err::<String, _>(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", strftime_now);
    let own = budget.clone();
    environment.set_formatter(move |out, _, value| {
        out.write_str(&own.text(value)?)
            .map_err(|_| Error::from(ErrorKind::WriteFailure))
    });
    let own = budget.clone();
    environment.set_unknown_method_callback(move |state, value, method, args| {
        before_copying(&own, method, std::iter::once(value).chain(args))?;
        let made = pycompat::unknown_method_callback(state, value, method, args)?;
        own.take_copy(&made).map(|()| made)
    });
    for name in COPYING {
        let own = budget.clone();
        environment.add_filter(name, move |args: Rest<Value>| {
            before_copying(&own, name, args.iter())?;
            let made = PLAIN.empty_state().apply_filter(name, &args)?;
            own.take_copy(&made).map(|()| made)
        });
    }
    let own = budget.clone();
    environment.add_filter("string", move |value: Value| own.text(&value));
    let own = budget.clone();
    environment.add_filter("tojson", move |value: Value, options: Rest<Value>| {
        let mut spelt = own.spelt();
        let written = python_json::write(&mut spelt, &value, indent(&options)?);
        let text = std::mem::take(&mut spelt.text);
        written
            .map_err(|error| Error::new(ErrorKind::BadSerialization, format!("tojson: {error}")))?;
        Ok::<_, Error>(Value::from_safe_string(text))
    });
    let own = budget.clone();
    environment.add_function(ADD, move |a: Value, b: Value| match (a.kind(), b.kind()) {
        (ValueKind::String, ValueKind::String) => concatenated(&own, &a, &b),
        (ValueKind::Seq | ValueKind::Iterable, ValueKind::Seq | ValueKind::Iterable) => {
            own.take_copy(&a)?;
            own.take_copy(&b)?;
            let values: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).collect();
            Ok(Value::from(values))
        }
        _ => plain(ADD, context! { a, b }),
    });
    let own = budget.clone();
    environment.add_function(MULTIPLY, move |a: Value, b: Value| {
        let times = [&a, &b].map(|value| value.as_usize());
        for (value, times) in [(&a, times[1]), (&b, times[0])] {
            let size = value.as_str().map(str::len).or(value.len());
            if let (Some(size), Some(times)) = (size, times) {
                own.take(size.saturating_mul(times).saturating_mul(32))?;
            }
        }
        plain(MULTIPLY, context! { a, b })
    });
    let own = budget.clone();
    environment.add_function(CONCATENATE, move |a: Value, b: Value| {
        concatenated(&own, &a, &b)
    });
    let own = budget.clone();
    environment.add_function(SLICE, move |a: Value, b: Value, c: Value, d: Value| {
        let made = plain(SLICE, context! { a, b, c, d })?;
        own.take_copy(&made).map(|()| made)
    });
    environment
}

fn concatenated(budget: &Arc<Budget>, a: &Value, b: &Value) -> Result<Value, Error> {
    let mut text = budget.text(a)?;
    text.push_str(&budget.text(b)?);
    Ok(Value::from(text))
}

/// The value of an expression as the engine itself has it.
fn plain(expression: &str, values: Value) -> Result<Value, Error> {
    PLAIN.compile_expression(expression)?.eval(values)
}

/// Refuses what a filter or method must not even begin.
fn before_copying<'v>(
    budget: &Arc<Budget>,
    name: &str,
    args: impl Iterator<Item = &'v Value>,
) -> Result<(), Error> {
    let args: Vec<&Value> = args.collect();
    let too_large = |number: &dyn std::fmt::Display| {
        let reason = format!("{name}: {number} is more than {LARGEST_NUMBER}");
        Error::new(ErrorKind::InvalidOperation, reason)
    };
    let options = args.iter().filter(|arg| arg.is_kwargs());
    let options: Vec<Value> = options
        .flat_map(|options| {
            let names = options.try_iter().into_iter().flatten();
            names.filter_map(|name| options.get_item(&name).ok())
        })
        .collect();
    // What is formatted may be any number, unless it may be a width.
    let format = args.first().and_then(|arg| arg.as_str());
    let has_width = format.is_some_and(|text| text.contains('*') || text.contains(":{"));
    for arg in args.iter().skip(1).copied().chain(&options) {
        let number = arg.is_number().then(|| f64::try_from(arg.clone()).ok());
        let is_large =
            number.is_some_and(|number| number.is_none_or(|n| n > LARGEST_NUMBER as f64));
        if is_large && (name != "format" || has_width) {
            return Err(too_large(arg));
        }
    }
    let Some(value) = args.first() else {
        return Ok(());
    };
    match (name, value.as_str()) {
        ("replace", Some(text)) => {
            let parts = [1, 2].map(|place| args.get(place).and_then(|arg| arg.as_str()));
            let [from, to] = parts.map(Option::unwrap_or_default);
            budget.take(text.matches(from).count().saturating_mul(to.len()))
        }
        ("indent", Some(text)) => {
            let numbers = args.iter().skip(1).copied().chain(&options);
            let width = numbers.filter_map(Value::as_usize).max().unwrap_or(4);
            budget.take(text.lines().count().saturating_mul(width))
        }
        // A width stands in the text.
        ("format", Some(text)) => {
            let mut digits = text.split(|c: char| !c.is_ascii_digit());
            let most = LARGEST_NUMBER.to_string().len();
            let width = digits.find(|digits| digits.len() >= most);
            width.map_or(Ok(()), |width| Err(too_large(&width)))?;
            args.iter().try_for_each(|arg| budget.text(arg).map(drop))
        }
        // Of a method the first value is what stands between, of a filter it is the list.
        ("join", _) => {
            let list = args.iter().find(|arg| arg.as_str().is_none());
            let between = args.iter().find_map(|arg| arg.as_str());
            let (Some(list), between) = (list, between.unwrap_or_default().len()) else {
                return Ok(());
            };
            budget.take(list.len().unwrap_or(0).saturating_mul(between))?;
            list.try_iter()?
                .try_for_each(|item| budget.text(&item).map(drop))
        }
        (_, Some(_)) => Ok(()),
        // The lists of a list are copied by reference, but `pprint` and the like spell them.
        (
            "batch" | "chain" | "dictsort" | "groupby" | "items" | "list" | "reverse" | "slice"
            | "sort" | "sum" | "unique",
            None,
        ) => budget.take_copy(value),
        _ => budget.text(value).map(drop),
    }
}

/// The `indent` of Python's `json.dumps`, the first argument or by name.
fn indent(options: &[Value]) -> Result<Option<usize>, Error> {
    /// Wider than any that is read by people.
    const WIDEST: usize = 64;
    let mut indent = None;
    for option in options {
        if option.is_kwargs() {
            let named = Kwargs::try_from(option.clone())?;
            indent = named.get::<Option<usize>>("indent")?.or(indent);
        } else if !option.is_none() {
            indent = option.as_usize().or(indent);
        }
    }
    match indent {
        Some(indent) if indent > WIDEST => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("tojson: an indent of {indent} is more than {WIDEST}"),
        )),
        indent => Ok(indent),
    }
}

/// The time of this machine as `datetime.now().strftime` writes it.
fn strftime_now(_: &State<'_, '_>, format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let now = chrono::Local::now();
    match write!(text, "{}", now.format(format)) {
        Ok(()) => Ok(text),
        Err(_) => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now cannot write {format:?}"),
        )),
    }
}

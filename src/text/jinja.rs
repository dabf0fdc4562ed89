//! Renders the Jinja templates of strangers, as transformers does, within limits of depth, steps, memory and time.
//!
//! The engine counts steps by itself, but one step may build a text of any size. So the operators, filters and methods that
//! make a value larger than what they got are replaced by ones that draw on a common budget, and a template runs on a
//! thread with a stack that is deep enough for the longest template that is taken.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Vm, WhitespaceConfig};
use minijinja::machinery::{make_string_output, parse};
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value, context};
use minijinja_contrib::pycompat;

use super::python_json;

/// The longest template. Its depth is bounded by its length, and the stack by both.
const SOURCE_BYTES: usize = 128 << 10;
const STACK_BYTES: usize = 512 << 20;
/// The most steps, and the most bytes that they write of the template's own text.
const STEPS: usize = 2_000_000;
const RAW_BYTES: usize = 1 << 30;
/// The most bytes that all texts and lists have that are built.
const BUILT_BYTES: usize = 256 << 20;
/// What a part of a text counts at least.
const LEAST_PART: usize = 32;
/// The largest count or width.
const LARGEST_NUMBER: i64 = 1_000_000;
/// A template that takes longer is given up; its thread is left behind.
const SECONDS: u64 = 20;

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

/// Checks a template's syntax.
pub(super) fn check(name: &'static str, source: &str) -> Result<(), Error> {
    let source = source.to_string();
    on_a_deep_stack(move || compile(name, &source, |_, _| Ok(())))
}

/// Renders a template.
pub(super) fn render(name: &'static str, source: &str, values: Value) -> Result<String, Error> {
    let source = source.to_string();
    on_a_deep_stack(move || {
        compile(name, &source, |instructions, blocks| {
            let budget = Arc::new(Budget(AtomicUsize::new(BUILT_BYTES)));
            let mut environment = limited(&budget);
            let longest = longest_raw(instructions).max(1);
            environment.set_fuel(Some(STEPS.min(RAW_BYTES / longest) as u64));
            evaluate(&environment, instructions, blocks, values)
        })
    })
}

type Blocks<'s> = std::collections::BTreeMap<&'s str, Instructions<'s>>;

fn evaluate<'env>(
    environment: &'env Environment<'env>,
    instructions: &'env Instructions<'env>,
    blocks: &'env Blocks<'env>,
    values: Value,
) -> Result<String, Error> {
    let mut text = String::new();
    let mut output = make_string_output(&mut text);
    Vm::new(environment).eval(instructions, values, blocks, &mut output, AutoEscape::None)?;
    drop(output);
    Ok(text)
}

/// Compiles a template and puts the operators with a budget in place of the engine's.
fn compile<T>(
    name: &str,
    source: &str,
    run: impl FnOnce(&Instructions<'_>, &Blocks<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    if source.len() > SOURCE_BYTES {
        let reason = format!(
            "has {} bytes; at most {SOURCE_BYTES} are read",
            source.len()
        );
        return Err(Error::new(ErrorKind::SyntaxError, reason));
    }
    // transformers' mark of what an assistant says, which only its masks for training need.
    let source = generation_marks(source);
    let whitespace = WhitespaceConfig {
        keep_trailing_newline: false,
        lstrip_blocks: true,
        trim_blocks: true,
    };
    let tree = parse(&source, name, Default::default(), whitespace)?;
    let mut generator = CodeGenerator::new(name, &source);
    generator.compile_stmt(&tree);
    let (mut instructions, mut blocks) = generator.finish();
    std::iter::once(&mut instructions)
        .chain(blocks.values_mut())
        .try_for_each(put_in_operators)?;
    run(&instructions, &blocks)
}

/// The names under which the operators are called, which no template can write.
const ADD: &str = "a + b";
const MULTIPLY: &str = "a * b";
const CONCATENATE: &str = "a ~ b";
const SLICE: &str = "a[b:c:d]";

fn put_in_operators(instructions: &mut Instructions<'_>) -> Result<(), Error> {
    for place in 0..instructions.len() as u32 {
        let Some(instruction) = instructions.get_mut(place) else {
            continue;
        };
        let (name, arguments) = match instruction {
            // The compiler has multiplied and concatenated what is constant.
            Instruction::LoadConst(value) => {
                check_constant(value, &mut (LARGEST_NUMBER as usize))?;
                continue;
            }
            Instruction::Add => (ADD, 2),
            Instruction::Mul => (MULTIPLY, 2),
            Instruction::StringConcat => (CONCATENATE, 2),
            Instruction::Slice => (SLICE, 4),
            _ => continue,
        };
        *instruction = Instruction::CallFunction(name, Some(arguments));
    }
    Ok(())
}

/// Refuses a constant with more than `left` values in all of its lists.
fn check_constant(value: &Value, left: &mut usize) -> Result<(), Error> {
    if value.as_str().is_some() {
        return Ok(());
    }
    let Some(len) = value.len() else {
        return Ok(());
    };
    *left = left.checked_sub(len).ok_or_else(|| {
        let reason = format!("builds more than a constant list may have, {LARGEST_NUMBER} values");
        Error::new(ErrorKind::SyntaxError, reason)
    })?;
    value
        .try_iter()?
        .try_for_each(|item| check_constant(&item, left))
}

fn longest_raw(instructions: &Instructions<'_>) -> usize {
    let lengths =
        (0..instructions.len() as u32).filter_map(|place| match instructions.get(place) {
            Some(Instruction::EmitRaw(text)) => Some(text.len()),
            _ => None,
        });
    lengths.max().unwrap_or(0)
}

/// Replaces `{% generation %}` and `{% endgeneration %}` by blocks that always hold.
fn generation_marks(source: &str) -> String {
    static MARK: LazyLock<Option<fancy_regex::Regex>> = LazyLock::new(|| {
        fancy_regex::Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").ok()
    });
    let Some(mark) = &*MARK else {
        return source.to_string();
    };
    let replaced = mark.replace_all(source, |found: &fancy_regex::Captures<'_>| {
        let part = |group| found.get(group).map_or("", |part| part.as_str());
        let block = if part(2).is_empty() {
            "if true"
        } else {
            "endif"
        };
        format!("{{%{} {block} {}%}}", part(1), part(3))
    });
    replaced.into_owned()
}

/// Runs `work` on a thread of its own with a deep stack; a panic there is an error.
fn on_a_deep_stack<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let failed = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("template".to_string())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // Who asked may have given up.
            let _ = sender.send(work());
        })
        .map_err(|error| failed(format!("the system starts no thread for it: {error}")))?;
    match receiver.recv_timeout(Duration::from_secs(SECONDS)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(failed(format!("takes more than {SECONDS} seconds")))
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(failed("the template engine cannot handle it".to_string()))
        }
    }
}

/// How many bytes may still be built.
struct Budget(AtomicUsize);

impl Budget {
    fn take(&self, bytes: usize) -> Result<(), Error> {
        let left = |left: usize| left.checked_sub(bytes);
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("builds more than {BUILT_BYTES} bytes of text"),
            )),
        }
    }

    /// Takes what a copy of a value has.
    fn take_copy(&self, value: &Value) -> Result<(), Error> {
        /// Bytes of a value in a list.
        const VALUE: usize = 32;
        let bytes = match (value.as_str(), value.len()) {
            (Some(text), _) => text.len(),
            (None, len) => len.unwrap_or(1).saturating_mul(VALUE),
        };
        self.take(bytes)
    }

    /// Spells a value as Python does at the outermost level.
    fn text(self: &Arc<Self>, value: &Value) -> Result<String, Error> {
        let mut spelt = Spelt {
            text: String::new(),
            budget: self,
        };
        let written = match value.kind() {
            ValueKind::None => write!(spelt, "None"),
            ValueKind::Bool if value.is_true() => write!(spelt, "True"),
            ValueKind::Bool => write!(spelt, "False"),
            _ => write!(spelt, "{value}"),
        };
        match written {
            Ok(()) => Ok(spelt.text),
            Err(_) => self.take(usize::MAX).map(|()| spelt.text),
        }
    }
}

/// A text that draws on the budget as it grows.
struct Spelt<'a> {
    text: String,
    budget: &'a Budget,
}

impl std::fmt::Write for Spelt<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        // Lists of lists are written in small parts, which take time as well.
        let bytes = part.len().max(LEAST_PART);
        self.budget.take(bytes).map_err(|_| std::fmt::Error)?;
        self.text.push_str(part);
        Ok(())
    }
}

impl std::io::Write for Spelt<'_> {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        let part = std::str::from_utf8(part).map_err(std::io::Error::other)?;
        let bytes = part.len().max(LEAST_PART);
        self.budget.take(bytes).map_err(std::io::Error::other)?;
        self.text.push_str(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The engine with everything that a chat template may call.
fn limited(budget: &Arc<Budget>) -> Environment<'static> {
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
        let mut spelt = Spelt {
            text: String::new(),
            budget: &own,
        };
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
    for arg in args.iter().skip(1).copied().chain(&options) {
        if arg.is_number() && !arg.as_i64().is_some_and(|n| n <= LARGEST_NUMBER) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> Result<String, String> {
        let user = context! { role => "user", content => "Hello" };
        let values = context! { messages => [user], eos_token => "</s>" };
        render("test", source, values).map_err(|error| format!("{error:#}"))
    }

    // The outputs of transformers' apply_chat_template for the same templates.
    #[test]
    fn what_public_templates_use_is_rendered_as_transformers_does() {
        for (source, text) in [
            (
                "{% for m in messages %}\n{%- generation -%}\n  {{ m.content }}{{ eos_token }}\n{%- endgeneration %}\n{% endfor %}.",
                "Hello</s>.",
            ),
            (
                "{{ messages | tojson }}",
                r#"[{"role": "user", "content": "Hello"}]"#,
            ),
            (
                "{{ {'a': '<é>', 'b': [1, none, true]} | tojson }}",
                r#"{"a": "<é>", "b": [1, null, true]}"#,
            ),
            (
                "{{ {'a': [1]} | tojson(indent=2) }}",
                "{\n  \"a\": [\n    1\n  ]\n}",
            ),
            ("{{ 'a' + 'b' ~ 1 ~ none ~ true }}", "ab1NoneTrue"),
            (
                "{{ ([1] + [2]) | length }}{{ 'ab' * 2 }}{{ 2 * 3 + 1 }}{{ 1.5 + 2 }}",
                "2abab73.5",
            ),
            (
                "{{ messages[0].content[1:3] }}{{ messages[1:] | length }}",
                "el0",
            ),
            (
                "{{ messages[0]['content'].replace('l', 'L').split('L')[0] }}",
                "He",
            ),
            (
                "{{ ['a', 'b'] | join('-') }}{{ '-'.join(['a', 'b']) }}",
                "a-ba-b",
            ),
            (
                "{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
                "3",
            ),
            (
                "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice('a') ~ twice('b') }}",
                "aabb",
            ),
            (
                "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
                "01",
            ),
            (
                "{{ tools is defined }}{{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content }}",
                "FalseHello",
            ),
        ] {
            assert_eq!(rendered(source).as_deref(), Ok(text), "{source}");
        }
        let year = rendered("{{ strftime_now('%Y') }}{{ strftime_now is defined }}").unwrap();
        assert!(year.len() == 8 && year.ends_with("True"), "{year}");
    }

    #[test]
    fn a_template_that_goes_on_builds_or_nests_without_end_is_refused() {
        let thousands = |part: &str, last: &str| format!("{}{last}", part.repeat(30_000));
        let doubling = |step: &str| {
            let values = "{% set ns = namespace(x='a', l=[1]) %}";
            format!(
                "{values}{{% for i in range(99) %}}{step}{{% endfor %}}{{{{ ns.l | string | length }}}}"
            )
        };
        for (source, reason) in [
            (
                "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
                    .to_string(),
                "fuel",
            ),
            (
                "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}".to_string(),
                "recursion",
            ),
            (
                format!(
                    "{{% for i in range(99999) %}}{}{{% endfor %}}",
                    "a".repeat(100_000)
                ),
                "fuel",
            ),
            (doubling("{% set ns.x = ns.x + ns.x %}"), "builds more"),
            (doubling("{% set ns.x = ns.x ~ ns.x %}"), "builds more"),
            (doubling("{% set ns.x = ns.x * 2 %}"), "builds more"),
            (
                doubling("{% set ns.x = ns.x.replace('a', 'aa') %}"),
                "builds more",
            ),
            (
                doubling("{% set ns.x = ns.x | replace('a', 'aa') %}"),
                "builds more",
            ),
            (
                doubling("{% set ns.x = [ns.x, ns.x] | join %}"),
                "builds more",
            ),
            (
                doubling("{% set ns.x = ns.x.join([ns.x, ns.x]) %}"),
                "builds more",
            ),
            (
                doubling("{% set ns.x = '%s%s' | format(ns.x, ns.x) %}"),
                "builds more",
            ),
            (
                doubling("{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"),
                "builds more",
            ),
            (
                doubling("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
                "builds more",
            ),
            (doubling("{% set ns.l = ns.l + ns.l %}"), "builds more"),
            (doubling("{% set ns.l = ns.l * 2 %}"), "builds more"),
            (doubling("{% set ns.l = [ns.l, ns.l] %}"), "builds more"),
            (
                doubling(
                    "{% set ns.l = [ns.l, ns.l] %}{% if i == 60 %}{{ ns.l | tojson }}{% endif %}",
                ),
                "builds more",
            ),
            (
                doubling("{% set ns.l = [ns.l, ns.l] %}{% if i == 60 %}{{ ns.l }}{% endif %}"),
                "builds more",
            ),
            (
                doubling(
                    "{% set ns.l = [ns.l, ns.l] %}{% if i == 60 %}{{ ns.l | upper }}{% endif %}",
                ),
                "builds more",
            ),
            (
                "{{ 'a\nb' | indent(10**10) }}".to_string(),
                "more than 1000000",
            ),
            (
                "{{ 'a\nb' | indent(width=10**10) }}".to_string(),
                "more than 1000000",
            ),
            (
                "{{ ('a\n' * 100000) | indent(100000) }}".to_string(),
                "builds more",
            ),
            (
                "{{ messages | tojson(indent=10**10) }}".to_string(),
                "more than 64",
            ),
            (
                "{{ '%9999999999d' | format(1) }}".to_string(),
                "more than 1000000",
            ),
            (
                "{{ '{:9999999999}'.format(1) }}".to_string(),
                "more than 1000000",
            ),
            (
                "{{ [1] | batch(10**10, 0) | list }}".to_string(),
                "more than 1000000",
            ),
            ("{{ 'a' * 10**12 }}".to_string(), "builds more"),
            ("{{ [1] * 10**12 }}".to_string(), "builds more"),
            (format!("{{{{ {} }}}}", thousands("not ", "x")), "True"),
            (format!("{{{{ {} }}}}", "-".repeat(120_000) + "1"), "1"),
            (format!("{{{{ {} }}}}", thousands("1+", "1")), "30001"),
            (format!("{{{{ {} }}}}", thousands("(", "1")), "recursion"),
            (format!("{{{{ x{} }}}}", thousands(".a", "")), "undefined"),
            (format!("{{{{ x{} }}}}", thousands("|e", "")), ""),
            (
                format!("{{{{ {} }}}}", "1 if 1 else ".repeat(10_000) + "1"),
                "1",
            ),
            ("{{ 1 }}".repeat(20_000), "at most 131072"),
        ] {
            let got = rendered(&source);
            let (Ok(told) | Err(told)) = &got;
            let start: String = source.chars().take(120).collect();
            assert!(
                told.contains(reason),
                "{start}: {}",
                told.chars().take(300).collect::<String>()
            );
        }
    }
}

//! Renders untrusted Jinja templates as transformers does, with limits on depth, steps, memory and time.
//!
//! The engine counts steps by itself, but one step may build a text of any size. So the operators, filters and methods that
//! make a value larger than what they got are replaced by ones that draw on a common budget, and a template runs on a
//! thread with a stack that is deep enough for the longest template that is taken.

use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Vm, WhitespaceConfig};
use minijinja::machinery::{make_string_output, parse};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

mod budget;
mod environment;
mod python_json;

use budget::{Budget, LARGEST_NUMBER};
use environment::{ADD, CONCATENATE, MULTIPLY, SLICE, limited};

/// The longest template. Its depth is bounded by its length, and the stack by both.
const SOURCE_BYTES: usize = 128 << 10;
const STACK_BYTES: usize = 512 << 20;
/// The most steps, and the most bytes that they write of the template's own text.
const STEPS: usize = 2_000_000;
const RAW_BYTES: usize = 1 << 30;
/// A template that takes longer is given up; its thread is left behind.
const SECONDS: u64 = 20;

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
            let budget = Budget::new();
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

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

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
                "{{ '%.1f %d' | format(2.25, 1700000000) }}{{ '{}'.format(1700000000) }}",
                "2.2 17000000001700000000",
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
        let thousands = |part: &str, last: &str| format!("{}{last}", part.repeat(5_000));
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
            (format!("{{{{ {} }}}}", thousands("not ", "x")), "False"),
            (format!("{{{{ {} }}}}", "-".repeat(5_000) + "1"), "1"),
            (format!("{{{{ {} }}}}", thousands("1+", "1")), "5001"),
            (format!("{{{{ {} }}}}", thousands("(", "1")), "recursion"),
            (format!("{{{{ x{} }}}}", thousands(".a", "")), "undefined"),
            (format!("{{{{ x{} }}}}", thousands("|e", "")), ""),
            (
                format!("{{{{ {} }}}}", "1 if 1 else ".repeat(5_000) + "1"),
                "1",
            ),
            ("{{ 1 }}".repeat(20_000), "at most 131072"),
        ] {
            let got = rendered(&source);
            let (Ok(told) | Err(told)) = &got;
            // On a busy machine the time may run out before the budget.
            const SLOW: &str = "takes more than";
            let start: String = source.chars().take(120).collect();
            assert!(
                told.contains(reason) || told.contains(SLOW),
                "{start}: {}",
                told.chars().take(300).collect::<String>()
            );
        }
    }
}

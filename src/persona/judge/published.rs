//! How the published discriminators are asked.
//!
//! They understand the one text that they were trained with. It is not part of this crate: it is read from the file in which
//! their authors published it, or from one of the same form.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::hub::Hub;
use crate::persona::judge::{JudgeFormat, JudgeSource, JudgeTask, JudgeTemplate};
use crate::{Error, Result, files};

/// Who published discriminators for APC.
const AUTHOR: &str = "KomeijiForce/";
/// Where their prompts are, and the checksum of that file.
const PROMPTS: (&str, &str) = (
    "KomeijiForce/Active_Passive_Constraint_Koishiday_2024/6049a889e3f5bea5a36b905e79e35689aaf4a9b0/prompt.py",
    "d78ceb49f15b90e6c2fb1208c9266704dda88748c94856a780dab71183a11e05",
);

/// The function of the authors' file whose text a judge reads.
fn function_of(task: JudgeTask) -> &'static str {
    match task {
        JudgeTask::Relevance => "fill_in_query_discrimination_template",
        JudgeTask::Nli => "fill_in_brief_nli_discrimination_template",
    }
}

/// What a template may name.
const PLACEHOLDERS: [&str; 4] = ["character", "statement", "query", "response"];

/// How both judges are asked, as a JSON file has it; of one that is absent its own files tell.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Templates {
    relevance: Option<Template>,
    nli: Option<Template>,
    grading_relevance: Option<Template>,
    grading_nli: Option<Template>,
}

/// A text, a pair, or all that a `judge.json` says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Template {
    Template(JudgeTemplate),
    Format(Value),
}

/// Finds a judge, which may be on the hub, and how it is asked: as the file `templates` says if it is given and names it,
/// else as the checkpoint's own `judge.json` says, else as its authors say.
pub fn find_judge(
    hub: &Hub,
    name: &Path,
    task: JudgeTask,
    templates: Option<&Path>,
) -> Result<JudgeSource> {
    let checkpoint = hub.checkpoint(name)?;
    let published = name.to_str().is_some_and(|name| name.starts_with(AUTHOR));
    let given = match templates {
        Some(path) => read_format(path, task)?,
        None => JudgeFormat::default(),
    };
    let format = match given.template {
        None if published && !JudgeFormat::is_in(&checkpoint) => {
            given.or(read_format(&published_prompts(hub)?, task)?)
        }
        _ => given,
    };
    Ok(JudgeSource {
        format,
        ..JudgeSource::from(checkpoint)
    })
}

/// The authors' file, from the cache or from where they published it.
fn published_prompts(hub: &Hub) -> Result<PathBuf> {
    hub.pinned(PROMPTS.0, PROMPTS.1, "`judge_templates`")
}

/// How a judge is asked, from a JSON file with `relevance` and `nli`, or from Python functions that return f-strings.
pub fn read_format(path: &Path, task: JudgeTask) -> Result<JudgeFormat> {
    let invalid = |reason: String| Error::invalid(path, reason);
    let text = files::read_text(path)?;
    if !text.trim_start().starts_with('{') {
        let function = function_of(task);
        let template = returned_f_string(&text, function)
            .map_err(|reason| invalid(format!("the function {function} {reason}")))?;
        return Ok(JudgeTemplate::Text(template).into());
    }
    let Templates { relevance, nli, .. } = read_templates(path)?;
    match task {
        JudgeTask::Relevance => format_of(path, "relevance", relevance),
        JudgeTask::Nli => format_of(path, "nli", nli),
    }
}

/// How a judge that grades is asked, from a JSON file with `grading_relevance` and `grading_nli`; nothing if it has none.
pub fn read_grading_format(path: &Path, task: JudgeTask) -> Result<JudgeFormat> {
    if !files::read_text(path)?.trim_start().starts_with('{') {
        return Ok(JudgeFormat::default());
    }
    let templates = read_templates(path)?;
    match task {
        JudgeTask::Relevance => format_of(path, "grading_relevance", templates.grading_relevance),
        JudgeTask::Nli => format_of(path, "grading_nli", templates.grading_nli),
    }
}

fn read_templates(path: &Path) -> Result<Templates> {
    let templates: Templates = files::read_json(path)?;
    let Templates {
        relevance,
        nli,
        grading_relevance,
        grading_nli,
    } = &templates;
    let all = [relevance, nli, grading_relevance, grading_nli];
    if all.iter().all(|template| template.is_none()) {
        let reason =
            "has neither \"relevance\", \"nli\", \"grading_relevance\" nor \"grading_nli\"";
        return Err(Error::invalid(path, reason));
    }
    Ok(templates)
}

/// How a judge is asked, as a file of templates says under a name.
fn format_of(path: &Path, name: &str, given: Option<Template>) -> Result<JudgeFormat> {
    let told = |reason: String| Error::invalid(path, format!("\"{name}\": {reason}"));
    Ok(match given {
        None => JudgeFormat::default(),
        Some(Template::Template(template)) => {
            template.check().map_err(told)?;
            template.into()
        }
        Some(Template::Format(json)) => {
            serde_json::from_value(json).map_err(|error| told(error.to_string()))?
        }
    })
}

/// The text that a Python function returns, an f-string or several of them added, with its placeholders as they are.
fn returned_f_string(source: &str, function: &str) -> std::result::Result<String, String> {
    let start = source
        .find(&format!("def {function}("))
        .ok_or("is not there")?;
    let body = &source[start..];
    let at = body.find("return").ok_or("returns nothing")?;
    let returned = &body[at + "return".len()..];
    let mut rest = returned.trim_start_matches([' ', '\\', '(', '\n', '\t']);
    // Within brackets an expression goes on over lines.
    let is_open = returned[..returned.len() - rest.len()].contains('(');
    let space: &[char] = if is_open {
        &[' ', '\t', '\n']
    } else {
        &[' ', '\t']
    };
    let ends = |rest: &str| {
        let rest = rest.trim_start_matches([' ', '\t']);
        rest.is_empty() || rest.starts_with(['\n', '#'])
    };
    let mut text = String::new();
    loop {
        let (part, behind) = literal(rest)?;
        text.push_str(&part);
        rest = behind.trim_start_matches(space);
        if let Some(next) = rest.strip_prefix('+') {
            rest = next.trim_start_matches([' ', '\\', '\n', '\t']);
        } else if ends(rest) || (is_open && rest.strip_prefix(')').is_some_and(ends)) {
            return Ok(text);
        } else if literal(rest).is_err() {
            return Err("returns more than strings that are added".into());
        }
    }
}

/// One string literal at the beginning of a text, and what follows it.
fn literal(text: &str) -> std::result::Result<(String, &str), String> {
    let opening = text.find(['"', '\'']).ok_or("returns no string")?;
    let prefix = text[..opening].to_lowercase();
    if !matches!(prefix.as_str(), "" | "f" | "r" | "fr" | "rf") {
        return Err("returns no string".into());
    }
    let (formatted, raw) = (prefix.contains('f'), prefix.contains('r'));
    let mut plain = String::new(); // without the placeholders
    let rest = &text[opening..];
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| rest.starts_with(quote))
        .ok_or("returns no string")?;
    let mut out = String::new();
    let mut rest = &rest[quote.len()..];
    while !rest.starts_with(quote) {
        let mut chars = rest.chars();
        let Some(c) = chars.next() else {
            return Err("returns a string that does not end".into());
        };
        let next = chars.clone().next();
        match (c, next) {
            ('\\', Some(escaped)) if !raw => {
                match escaped {
                    'n' => plain.push('\n'),
                    't' => plain.push('\t'),
                    'r' => plain.push('\r'),
                    '\n' => {} // the line goes on
                    '\\' | '\'' | '"' => plain.push(escaped),
                    other => return Err(format!("has an escape \\{other} that is not read here")),
                }
                chars.next();
            }
            ('{' | '}', Some(same)) if formatted && same == c => {
                plain.push(c);
                chars.next();
            }
            ('{', _) if formatted => {
                let end = rest.find('}').ok_or("has a { without a }")?;
                let name = rest[1..end].trim();
                if !PLACEHOLDERS.contains(&name) {
                    return Err(format!("has a placeholder {{{name}}} that is not known"));
                }
                out.push_str(&checked(&mut plain)?);
                out.push_str(&format!("{{{name}}}"));
                rest = &rest[end + 1..];
                continue;
            }
            _ => plain.push(c),
        }
        rest = chars.as_str();
    }
    out.push_str(&checked(&mut plain)?);
    Ok((out, &rest[quote.len()..]))
}

/// Takes a text that is no placeholder, and must not look like one.
fn checked(plain: &mut String) -> std::result::Result<String, String> {
    let plain = std::mem::take(plain);
    match PLACEHOLDERS
        .iter()
        .find(|name| plain.contains(&format!("{{{name}}}")))
    {
        None => Ok(plain),
        Some(name) => Err(format!("has a {{{name}}} that is no placeholder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::JudgeInput;

    // What Python 3.12 prints for these functions with the arguments "Odile", " a {x} ", "Who?" and "I.\n".
    const SOURCE: &str = r#"import os

def other(character):
    return f'''nothing {character}'''

def fill_in_query_discrimination_template(character, statement, query):
    return f'''Name: {character}
    
Known: {statement}

Asked:	{query}

Does it bear on it? Say "yes" or 'no'.'''

def fill_in_brief_nli_discrimination_template(character, statement, query, response):

    return f"Name: { character }\n{{kept}} {statement}|{query}\\" + ' and so' + \
        f' \'{response}\''
"#;

    fn rendered(task: JudgeTask) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompt.py");
        std::fs::write(&path, SOURCE).unwrap();
        let format = read_format(&path, task).unwrap();
        format.template.unwrap().render(&JudgeInput {
            character: "Odile",
            statement: " a {x} ",
            query: "Who?",
            response: "I.\n",
        })
    }

    #[test]
    fn a_template_from_python_renders_as_the_f_string_does() {
        assert_eq!(
            rendered(JudgeTask::Relevance),
            "Name: Odile\n    \nKnown:  a {x} \n\nAsked:\tWho?\n\nDoes it bear on it? Say \"yes\" or 'no'."
        );
    }

    #[test]
    fn escapes_doubled_braces_and_added_strings_are_read() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), SOURCE).unwrap();
        let format = read_format(path.path(), JudgeTask::Nli).unwrap();
        let text = "Name: {character}\n{kept} {statement}|{query}\\ and so '{response}'";
        assert_eq!(format, JudgeTemplate::Text(text.into()).into());
    }

    #[test]
    fn strings_over_several_lines_are_read_to_their_end() {
        let read = |source: &str| returned_f_string(source, "f").unwrap();
        assert_eq!(
            read("def f(x):\n  return (f'a {query}\\n'\n    'b'\n  )\n"),
            "a {query}\nb"
        );
        assert_eq!(
            read("def f(x):\n  return ('a' +\n    'b'\n    + 'c')"),
            "abc"
        );
        assert_eq!(read("def f(x):\n  return 'a' 'b'  # so\n'c'"), "ab");
    }

    #[test]
    fn what_is_not_there_or_not_known_is_told() {
        let told = |source: &str| returned_f_string(source, "f").unwrap_err();
        assert_eq!(told("def g(): return ''"), "is not there");
        assert_eq!(told("def f(x): return x + 1"), "returns no string");
        assert_eq!(told("def f(x): return f'''{x"), "has a { without a }");
        assert!(told("def f(x): return f'{x}'").contains("{x}"));
        assert!(told("def f(x): return 'ab").contains("does not end"));
        assert!(told("def f(x): return f'{{query}}'").contains("no placeholder"));
        for more in [
            "return 'a' % x",
            "return 'a'.format(x)",
            "return ('a'\n  'b' % x)",
            "return ('a').format(x)",
        ] {
            let error = told(&format!("def f(x): {more}"));
            assert!(error.contains("more than strings"), "{more}: {error}");
        }
    }

    #[test]
    fn a_json_file_tells_how_each_judge_is_asked() {
        let read = |json: &str, task| {
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), json).unwrap();
            read_format(path.path(), task).map_err(|error| error.to_string())
        };
        let both = r#"{"relevance": ["a {query}", "{statement}"],
            "nli": {"template": "b {response}", "labels": ["entailment", "neutral", "contradiction"]}}"#;
        let nli = read(both, JudgeTask::Nli).unwrap();
        assert_eq!(
            nli.template,
            Some(JudgeTemplate::Text("b {response}".into()))
        );
        assert!(nli.labels.is_some());
        let relevance = read(both, JudgeTask::Relevance).unwrap();
        let pair = ["a {query}", "{statement}"].map(String::from);
        assert_eq!(relevance, JudgeTemplate::Pair(pair).into());
        let one = r#"{"nli": "b {response}"}"#;
        assert_eq!(
            read(one, JudgeTask::Relevance).unwrap(),
            JudgeFormat::default()
        );
        for (json, part) in [
            (r#"{"nli": "{statment} {response}"}"#, "{statment}"),
            (
                r#"{"nli": {"pair": ["{statement}", "{reply}"]}}"#,
                "{reply}",
            ),
            (
                r#"{"nli": {"template": "{query}", "lables": []}}"#,
                "lables",
            ),
            (r#"{"nil": "{statement}"}"#, "nil"),
            ("{}", "neither"),
        ] {
            let error = read(json, JudgeTask::Nli).unwrap_err();
            assert!(error.contains(part), "{json}: {error}");
        }
    }
}

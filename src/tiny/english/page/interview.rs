//! Interviews: whose words are the character's, and answers that say nothing without their question.

use super::asked::is_question;
use super::blocks::KEPT;
use super::talk;
use super::third_person::is_imperative;
use crate::pattern::pattern;
use crate::tiny::english::words::lexicon::has_word;
use crate::tiny::english::words::sentences;
use crate::tiny::english::words::tokens::{Token, expand, tokenize};

// `**What do you eat?**`
pattern!(
    ON_A_LINE,
    r"^(?:[-*•]\s+)?(?:\*\*|__)?(?:\d{1,3}[.)]\s+)?(?:\*\*|__)?([^?.!|]{3,120}\?)(?:\*\*|__)?$"
);
// `Q: Where do you live?` and `A: In Porto.`
pattern!(
    LABELLED,
    r"^(?:[*_]{1,2})?(Q|A|(?i:question|answer|interviewer|reporter|journalist|host|moderator))(?: ?\d{1,2})?[.:](?:[*_]{1,2})?\s+(\S.*)$"
);

/// Writes who speaks in the questions and answers of an interview. An answer that says nothing without its question is kept with it.
pub(crate) fn interview(character: &str, page: &str) -> String {
    let lines: Vec<&str> = page
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let answers = answerer(character, &lines);
    let is_own =
        |name: &str| talk::is_character(character, name) || answers.as_deref() == Some(name);
    let askers = askers(&is_own, &lines);
    let asked = |line: &str| match LABELLED.captures(line.trim()) {
        Some(found) => Some((!found[1].starts_with(['A', 'a']), found[2].to_string())),
        None => {
            let (name, text) = talk::label(line.trim())?;
            let is_asker = askers.contains(&name);
            (is_asker || is_own(&name)).then(|| (is_asker, text.to_string()))
        }
    };
    let is_answered = |pair: &[&str]| {
        let kinds = (asked(pair[0]), asked(pair[1]));
        matches!(kinds, (Some((true, _)), Some((false, _))))
    };
    if !lines.windows(2).any(is_answered) {
        return without_labels(character, page);
    }
    let mut kept: Vec<String> = Vec::new();
    let mut question: Option<String> = None;
    for line in page.lines() {
        if line.trim().is_empty() {
            kept.push(String::new());
            continue;
        }
        match (question.take(), asked(line)) {
            (Some(before), Some((false, text))) => {
                // `*laughs* Ghent.`
                let (text, done) = match text.contains('*') {
                    true => {
                        let (said, done) = talk::spoken(&text);
                        (said.join(" "), done)
                    }
                    false => (text, Vec::new()),
                };
                kept.extend(done.iter().map(|done| format!("{character}: *{done}*")));
                let (bare, rest) = parted(character, &before, &text);
                let (told, asked) = asked_in(&before);
                if bare.is_empty() {
                    kept.push(format!("Interviewer: {before}"));
                } else if asked.is_empty() {
                    kept.push(format!("{KEPT}Interviewer: {told} {character}: {bare}"));
                } else {
                    if !told.is_empty() {
                        kept.push(format!("Interviewer: {told}"));
                    }
                    kept.push(format!("{KEPT}{asked} {bare}"));
                }
                kept.extend(rest.iter().map(|text| line_of(character, text)));
            }
            (before, turn) => {
                kept.extend(before.map(|before| format!("Interviewer: {before}")));
                match turn {
                    Some((true, text)) => question = Some(text),
                    Some((false, text)) => kept.push(line_of(character, &text)),
                    None => kept.push(line.to_string()),
                }
            }
        }
    }
    kept.extend(question.map(|question| format!("Interviewer: {question}")));
    kept.join("\n")
}

/// What an interviewer tells, and what it asks or requests.
fn asked_in(words: &str) -> (String, String) {
    let asks = |sentence: &String| sentence.ends_with('?') || is_imperative(&tokenize(sentence));
    let (asked, told): (Vec<String>, Vec<String>) =
        sentences::sentences(words).into_iter().partition(asks);
    (told.join(" "), asked.join(" "))
}

/// Who answers in an interview in which the character does not speak by its name: `Wen` on a page about Wendeline Askarov.
fn answerer(character: &str, lines: &[&str]) -> Option<String> {
    const SEVERAL: usize = 3;
    const ASKERS: &str = "interviewer host moderator mod reporter journalist";
    let labels: Vec<Option<(String, &str)>> =
        lines.iter().map(|line| talk::label(line.trim())).collect();
    let names = labels.iter().flatten().map(|(name, _)| name);
    if names
        .clone()
        .any(|name| talk::is_character(character, name))
    {
        return None;
    }
    let text = lines.join("\n").to_lowercase();
    let is_called = |name: &str| {
        let name = name.to_lowercase();
        let quoted = [
            format!("\"{name}\""),
            format!("“{name}”"),
            format!("call me {name}"),
        ];
        let mut words = character.split_whitespace();
        name.chars().count() > 1
            && (words.any(|word| word.to_lowercase().starts_with(&name))
                || quoted.iter().any(|quoted| text.contains(quoted)))
    };
    // `Do you know Mira?`, `Is she kind?`: somebody else is asked about the character.
    let of_third = |text: &str| {
        let asked = tokenize(text);
        let is_named =
            |token: &Token| talk::is_part_of_name(character, &token.text) && token.is_capital();
        asked
            .iter()
            .any(|token| token.is_in("he she") || is_named(token))
    };
    let asked = labels
        .iter()
        .flatten()
        .filter(|(name, text)| text.ends_with('?') && !is_called(name));
    if asked.clone().filter(|(_, text)| of_third(text)).count() * 3 > asked.count() {
        return None;
    }
    let answers = labels.windows(2).filter_map(|pair| {
        let ((asker, text), (other, _)) = (pair[0].as_ref()?, pair[1].as_ref()?);
        let is_interview = has_word(ASKERS, &asker.to_lowercase()) || is_called(other);
        let is_asked = text.ends_with('?') && asker != other && asker != "User" && asker != "You";
        (is_asked && is_interview).then_some(other.as_str())
    });
    let answers: Vec<&str> = answers.collect();
    let often = |name: &&str| answers.iter().filter(|other| *other == name).count();
    let most = answers.iter().copied().max_by_key(often)?;
    (often(&most) >= SEVERAL && often(&most) * 2 > answers.len()).then(|| most.to_string())
}

/// Whoever asks the character on most of several lines, each before a line of the character's.
fn askers(is_own: &dyn Fn(&str) -> bool, lines: &[&str]) -> Vec<String> {
    const SEVERAL: usize = 2;
    let labels: Vec<Option<(String, &str)>> =
        lines.iter().map(|line| talk::label(line.trim())).collect();
    let mut counts: Vec<(String, usize, usize)> = Vec::new();
    for (at, label) in labels.iter().enumerate() {
        let Some((name, text)) = label else { continue };
        if is_own(name) || matches!(name.as_str(), "User" | "You") {
            continue;
        }
        let next = labels.get(at + 1).and_then(Option::as_ref);
        let asks = usize::from(text.ends_with('?') && next.is_some_and(|(next, _)| is_own(next)));
        match counts.iter_mut().find(|(other, ..)| other == name) {
            Some((_, n_lines, n_asked)) => (*n_lines, *n_asked) = (*n_lines + 1, *n_asked + asks),
            None => counts.push((name.clone(), 1, asks)),
        }
    }
    let asks = |&(_, n_lines, n_asked): &(String, usize, usize)| {
        n_asked >= SEVERAL && n_asked * 2 > n_lines
    };
    counts
        .into_iter()
        .filter(asks)
        .map(|(name, ..)| name)
        .collect()
}

/// An answer as a line: the character's words, or what is told of it.
fn line_of(character: &str, text: &str) -> String {
    match says_i(text) || talk::is_narrated(text) {
        true => format!("{character}: {text}"),
        false => format!("\n{text}\n"),
    }
}

/// Keeps short answers with the questions that stand on lines of their own, if the page has several.
fn without_labels(character: &str, page: &str) -> String {
    const SEVERAL: usize = 2;
    let lines: Vec<&str> = page.lines().collect();
    let question = |at: usize| -> Option<&str> {
        let found = ON_A_LINE.captures(lines[at].trim())?;
        let text = found.get(1)?.as_str();
        is_question(text).then_some(text)
    };
    // The line of the question, the line of its answer, what both say together, and what the rest says alone.
    let pair = |at: usize| -> Option<(usize, usize, String, String)> {
        let asked = question(at)?;
        let next = (at + 1..lines.len().min(at + 3)).find(|&at| !lines[at].trim().is_empty())?;
        let text = lines[next].trim();
        if text.starts_with(['#', '|', '=', '{', '[']) || question(next).is_some() {
            return None;
        }
        let mut bullets = ["- ", "* ", "• "].iter();
        let text = bullets
            .find_map(|bullet| text.strip_prefix(bullet))
            .unwrap_or(text);
        // What somebody else says of itself is none of the character's.
        let is_of_other =
            talk::label(text).is_some_and(|(name, _)| !talk::is_character(character, &name));
        let (bare, rest) = match is_of_other {
            true => (text.to_string(), Vec::new()),
            false => parted(character, asked, text),
        };
        (!bare.is_empty()).then(|| (at, next, format!("{KEPT}{asked} {bare}"), rest.join(" ")))
    };
    let pairs: Vec<(usize, usize, String, String)> = (0..lines.len()).filter_map(pair).collect();
    if pairs.len() < SEVERAL {
        return page.to_string();
    }
    let mut kept: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
    // Without their numbers, which would be sentences.
    for (at, line) in kept.iter_mut().enumerate() {
        if let Some(asked) = question(at) {
            *line = asked.to_string();
        }
    }
    for (at, next, answered, rest) in pairs {
        kept[at] = answered;
        kept[next] = rest;
    }
    kept.join("\n")
}

fn says_i(text: &str) -> bool {
    let is_own = |token: &Token| token.is_any(&["i", "my", "me", "mine", "we", "our"]);
    expand(tokenize(text)).iter().any(is_own)
}

/// The sentences of an answer that say nothing, or hold for the moment, without the question; and the others.
///
/// A sentence before one that points back to it stays with it.
fn parted(character: &str, question: &str, text: &str) -> (String, Vec<String>) {
    // `Where does she live?`, but not `Who is your wife?`
    let asked = tokenize(question);
    let is_any = |list: &str| asked.iter().any(|token| token.is_in(list));
    let names = |token: &Token| talk::is_part_of_name(character, &token.text) && token.is_capital();
    let asks_of_third = (is_any("he she they his her their him them") || asked.iter().any(names))
        && !is_any("you your yours");
    let is_bare = |sentence: &String| match says_i(sentence) {
        true => !talk::is_fact(sentence),
        false => {
            let tokens = tokenize(sentence);
            let is_of = |first: &Token| first.is_any(&["he", "she", "they", "his", "her", "their"]);
            !asks_of_third || !tokens.first().is_some_and(is_of)
        }
    };
    let sentences = sentences::sentences(text);
    let mut bare: Vec<bool> = sentences.iter().map(is_bare).collect();
    for at in (1..sentences.len()).rev() {
        bare[at - 1] |= bare[at];
    }
    if talk::is_narrated(text) || !bare.contains(&true) {
        return (String::new(), vec![text.to_string()]);
    }
    let n_bare = bare.iter().filter(|bare| **bare).count();
    let (kept, rest) = sentences.split_at(n_bare);
    (kept.join(" "), rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_below_its_question_stays_with_it_whatever_its_bullet() {
        for bullet in ["", "- ", "* ", "• "] {
            let page = format!("Any pets?\n{bullet}A cat.\n\nFavourite dish?\n{bullet}Soup.");
            let kept = without_labels("Alice", &page);
            for whole in ["Any pets? A cat.", "Favourite dish? Soup."] {
                assert!(kept.contains(&format!("{KEPT}{whole}")), "{kept}");
            }
        }
        // What says enough alone is no answer that needs its question.
        let page = "Does she paint?\n- She paints.\n\nDoes she sing?\n- She sings.";
        assert_eq!(without_labels("Alice", page), page);
    }

    #[test]
    fn who_answers_by_a_short_name_is_the_character() {
        let page = "Interviewer: Your name?\nWen: Wendeline.\nInterviewer: Your age?\nWen: Forty.\nInterviewer: Any pets?\nWen: A cat.";
        let kept = interview("Wendeline Askarov", page);
        assert!(kept.contains(&format!("{KEPT}Any pets? A cat.")), "{kept}");
        let of_others = interview("Tom Reed", &page.replace("Interviewer", "Ann"));
        assert!(of_others.contains("Wen: A cat."), "{of_others}");
    }

    #[test]
    fn somebody_else_who_is_asked_about_the_character_is_not_the_character() {
        let page = "Interviewer: Do you know Mira?\nBen: She's my wife. I'm a cook.\nInterviewer: Is she kind?\nBen: She beats me.\n\
                    Interviewer: Does she smoke?\nBen: I do.";
        let kept = interview("Mira", page);
        for whole in [
            "Do you know Mira? Ben: She's my wife. I'm a cook.",
            "Is she kind? Ben: She beats me.",
        ] {
            assert!(kept.contains(whole), "{whole}: {kept}");
        }
        assert!(!kept.contains("Mira:"), "{kept}");
    }

    #[test]
    fn who_is_called_by_a_nickname_answers_by_it() {
        let page = "Isolde \"Birdie\" Harrow is a captain.\nInterviewer: Age?\nBirdie: Forty.\nInterviewer: Pets?\nBirdie: No.\n\
                    Interviewer: Home?\nBirdie: A barn.";
        let kept = interview("Isolde Harrow", page);
        assert!(kept.contains(&format!("{KEPT}Home? A barn.")), "{kept}");
    }

    #[test]
    fn numbered_questions_stay_with_their_answers() {
        let page = "1. Age?\n47.\n\n**2) Kids?**\nOne, Theo.";
        let kept = without_labels("Alice", page);
        for whole in ["Age? 47.", "Kids? One, Theo."] {
            assert!(kept.contains(&format!("{KEPT}{whole}")), "{kept}");
        }
    }

    #[test]
    fn an_answer_in_an_interview_is_kept_whatever_was_said_before_it() {
        let page = "Host: I live in Bruges. Where are you from?\nAlice: Ghent.\nHost: Who is Tom?\nAlice: He calls me \"little bird.\"\n\
                    Host: Tell us of work.\nAlice: Nights, mostly.\nHost: I sold your cat.\nAlice: Never mind.\nHost: Any pets?\nAlice: *laughs* No.";
        let kept = interview("Alice", page);
        for whole in [
            "Where are you from? Ghent.",
            "Who is Tom? He calls me \"little bird.\"",
            "Tell us of work. Nights, mostly.",
            "Interviewer: I sold your cat. Alice: Never mind.",
            "Any pets? No.",
        ] {
            assert!(kept.contains(&format!("{KEPT}{whole}")), "{whole}: {kept}");
        }
        assert!(kept.contains("Interviewer: I live in Bruges."), "{kept}");
    }
}

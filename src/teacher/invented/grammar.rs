//! Facts put together from a grammar: somebody, what they did, do, want or cannot do, and where, when, with whom, why.

use std::borrow::Cow;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::kinds::Lines;
use super::lexicon::section;
use super::verbs::{CLASSES, Verb};

/// Kinds of composed facts are counted from here, one for each verb.
pub(super) const FIRST_KIND: usize = 1000;

/// How the verb is used: done once, done often, wanted...
#[derive(Clone, Copy, PartialEq)]
enum Aspect {
    Past,
    Habit,
    Wish,
    Plan,
    Love,
    Ability,
    Experience,
    Former,
    Now,
    Duty,
}

/// A verb phrase without its object: said, denied and asked.
struct Predicate {
    says: String,
    denies: Vec<String>,
    auxiliary: &'static str,
    asked: String,
}

/// Which details a fact has, by the letter of their slot.
#[derive(Default)]
struct Details {
    relation: Option<char>,
    place: Option<char>,
    time: Option<char>,
    companion: Option<char>,
    purpose: Option<char>,
    second: Option<(char, usize)>,
}

/// The patterns of one composed kind of fact.
pub(super) fn composed(rng: &mut ChaCha8Rng) -> Arc<Lines> {
    let class_idx = rng.random_range(0..CLASSES.len());
    let class = &CLASSES[class_idx];
    let verb_idx = rng.random_range(0..class.verbs.len());
    let verb = &class.verbs[verb_idx];
    let aspect = aspect(rng);
    let intransitive = class.asks == "Where";

    let mut lines = Lines { kind: FIRST_KIND + class_idx * 100 + verb_idx, slots: vec![class.object], ..Lines::default() };
    let mut tail = String::new();
    let details = details(aspect, intransitive, class_idx, &mut lines, &mut tail, rng);
    // Coordinated facts and those with a modal sense keep one polarity, since their parts do not follow one by one.
    lines.both = details.second.is_none();

    let other_person = details.relation.is_some();
    let predicate = predicate(verb, aspect, other_person);
    let second = details.second.map(|(letter, idx)| {
        let says = self::predicate(&class.verbs[idx], aspect, other_person).says;
        format!(" and {}{says} {{{letter}}}", if aspect == Aspect::Past && rng.random_bool(0.5) { "later " } else { "" })
    });
    let subject = details.relation.map_or_else(|| "{I}".to_owned(), |letter| format!("{{My}} {{{letter}}}"));
    let asked_subject = details.relation.map_or_else(|| "you".to_owned(), |letter| format!("your {{{letter}}}"));
    let words = Words { subject, asked_subject, predicate, tail, second: second.unwrap_or_default() };
    state(&words, &details, &mut lines, rng);
    deny(&words, &mut lines);
    shorten(&words, &details, aspect, class.asks, &mut lines);
    ask(&words, &details, class.asks, verb, &mut lines);
    if let Some((letter, idx)) = details.second {
        second_predicate(&words, letter, &class.verbs[idx], aspect, other_person, &mut lines);
    }
    Arc::new(lines)
}

struct Words {
    subject: String,
    asked_subject: String,
    predicate: Predicate,
    tail: String,
    second: String,
}

fn add(lines: &mut Lines, code: &str, text: String) {
    lines.add(code, Cow::Owned(text));
}

fn aspect(rng: &mut ChaCha8Rng) -> Aspect {
    match rng.random_range(0..100) {
        0..38 => Aspect::Past,
        38..54 => Aspect::Habit,
        54..62 => Aspect::Wish,
        62..68 => Aspect::Plan,
        68..76 => Aspect::Love,
        76..82 => Aspect::Ability,
        82..88 => Aspect::Experience,
        88..93 => Aspect::Former,
        93..97 => Aspect::Now,
        _ => Aspect::Duty,
    }
}

fn details(
    aspect: Aspect,
    intransitive: bool,
    class_idx: usize,
    lines: &mut Lines,
    tail: &mut String,
    rng: &mut ChaCha8Rng,
) -> Details {
    let mut details = Details::default();
    let slot = |lines: &mut Lines, name: &str| {
        let id = section(name)?;
        lines.slots.push(id);
        Some(char::from(b'a' + lines.slots.len() as u8 - 1))
    };
    if rng.random_bool(0.22) {
        details.relation = slot(lines, "relation");
    }
    let long = rng.random_bool(0.2);
    let mut chance = |usual: f64| rng.random_bool(if long { 0.75 } else { usual });
    let time = match aspect {
        Aspect::Past => Some("past"),
        Aspect::Habit | Aspect::Former => Some("often"),
        Aspect::Wish | Aspect::Plan | Aspect::Duty => Some("future"),
        _ => None,
    };
    if matches!(aspect, Aspect::Past | Aspect::Habit) && !intransitive && chance(0.1) {
        details.second = slot(lines, lexicon_name(class_idx)).map(|letter| (letter, 0));
    }
    let mut put = |lines: &mut Lines, name: &str, before: &str| {
        let letter = slot(lines, name)?;
        tail.push_str(&format!(" {before}{{{letter}}}"));
        Some(letter)
    };
    if time.is_some() {
        if !intransitive && chance(0.35) {
            details.place = put(lines, "place", "");
        }
        if chance(0.2) {
            details.companion = put(lines, "companion", if intransitive { "with " } else { "together with " });
        }
        if chance(0.14) {
            details.purpose = put(lines, "purpose", "");
        }
        if let Some(name) = time.filter(|_| chance(0.5)) {
            details.time = put(lines, name, "");
        }
        if aspect == Aspect::Past && chance(0.06) {
            put(lines, "extra", "");
        }
    }
    if let Some((letter, _)) = details.second {
        details.second = Some((letter, rng.random_range(0..CLASSES[class_idx].verbs.len())));
    }
    details
}

fn lexicon_name(class_idx: usize) -> &'static str {
    ["np", "person", "creature", "meal", "writing", "spot", "study", "plant", "event"].get(class_idx).unwrap_or(&"np")
}

fn predicate(verb: &Verb, aspect: Aspect, other_person: bool) -> Predicate {
    let by = |own: &str, other: &str| if other_person { other.to_owned() } else { format!("[{own}/{other}]") };
    let Verb { base, third, past, participle, gerund } = verb;
    let do_not = by("do not", "does not");
    let does = if other_person { "does" } else { "do" };
    let (says, denies, auxiliary, asked) = match aspect {
        Aspect::Past => (format!("<{past}>"), vec![format!("<did not> {base}"), format!("<never> {past}")], "did", base.clone()),
        Aspect::Habit => (
            format!("<{}>", by(base, third)),
            vec![format!("<{do_not}> {base}"), format!("<never> {}", by(base, third))],
            does,
            base.clone(),
        ),
        Aspect::Wish => (
            format!("<{}> to {base}", by("want", "wants")),
            vec![format!("<{do_not}> want to {base}"), format!("<{}> to {base}", by("refuse", "refuses"))],
            does,
            format!("want to {base}"),
        ),
        Aspect::Plan => {
            let is = by("am", "is");
            let asks = if other_person { "is" } else { "are" };
            let is = if other_person { is } else { "[am/is/are]".to_owned() };
            (format!("<{is}> going to {base}"), vec![format!("<{is} not> going to {base}")], asks, format!("going to {base}"))
        }
        Aspect::Love => (
            format!("<{}> {gerund}", by("love", "loves")),
            vec![format!("<{}> {gerund}", by("hate", "hates")), format!("<{do_not}> like {gerund}")],
            does,
            format!("like {gerund}"),
        ),
        Aspect::Ability => (format!("<can> {base}"), vec![format!("<cannot> {base}")], "can", base.clone()),
        Aspect::Experience => (
            format!("<{} already> {participle}", by("have", "has")),
            vec![format!("<{} never> {participle}", by("have", "has")), format!("<{} not yet> {participle}", by("have", "has"))],
            if other_person { "has" } else { "have" },
            format!("ever {participle}"),
        ),
        Aspect::Former => {
            (format!("<used to> {base}"), vec![format!("<never> {past}"), format!("<did not> use to {base}")], "did", format!("use to {base}"))
        }
        Aspect::Now => {
            let is = if other_person { "is" } else { "[am/is/are]" };
            let asks = if other_person { "is" } else { "are" };
            (format!("<{is}> {gerund}"), vec![format!("<{is} not> {gerund}")], asks, gerund.clone())
        }
        Aspect::Duty => (
            format!("<{}> to {base}", by("have", "has")),
            vec![format!("<{do_not}> have to {base}")],
            does,
            format!("have to {base}"),
        ),
    };
    Predicate { says, denies, auxiliary, asked }
}

fn state(words: &Words, details: &Details, lines: &mut Lines, rng: &mut ChaCha8Rng) {
    let Words { subject, predicate, tail, second, .. } = words;
    let says = &predicate.says;
    let plain = format!("{subject} {says} {{a}}{tail}{second}");
    let fronted = details.time.map(|time| {
        let rest = tail.replace(&format!(" {{{time}}}"), "");
        format!("{{{time}}} {subject} {says} {{a}}{rest}{second}")
    });
    match fronted {
        Some(fronted) if rng.random_bool(0.25) => {
            add(lines, "s", fronted);
            add(lines, "r", plain);
        }
        Some(fronted) => {
            add(lines, "s", plain);
            add(lines, "r", fronted);
        }
        None => add(lines, "s", plain),
    }
}

fn deny(words: &Words, lines: &mut Lines) {
    for denial in &words.predicate.denies {
        add(lines, "n", format!("{} {denial} {{a}}", words.subject));
    }
    add(lines, "m", format!("it is <not> true that {} {} {{a}}", words.subject, words.predicate.says.replace(['<', '>'], "")));
}

/// What follows when details are left out, and the details alone.
fn shorten(words: &Words, details: &Details, aspect: Aspect, asks: &str, lines: &mut Lines) {
    let Words { subject, predicate, .. } = words;
    let says = &predicate.says;
    add(lines, "p", format!("{subject} {says} {{a}}"));
    if asks != "Where" {
        let what = if asks == "Who" { "the one" } else { "what" };
        add(lines, "r", format!("{what} {subject} {says}{}{}", past_is(aspect), words.tail));
        add(lines, "p", format!("{subject} {says} {{a}}, not {{a*}}"));
    }
    for letter in [details.place, details.time, details.companion, details.purpose].into_iter().flatten() {
        let before = if Some(letter) == details.companion { "with " } else { "" };
        add(lines, "p", format!("{subject} {says} {{a}} {before}{{{letter}}}"));
        add(lines, "p", format!("it {} {before}{{{letter}}} that {subject} {says} {{a}}", past_is(aspect).split(' ').nth(1).unwrap_or("is")));
        add(lines, "f", format!("{before}{{{letter}}}"));
    }
    if let Some(letter) = details.relation {
        add(lines, "p", format!("it {} my {{{letter}}} who {says} {{a}}", past_is(aspect).split(' ').nth(1).unwrap_or("is")));
        add(lines, "f", format!("my {{{letter}}}"));
    }
    add(lines, "f", "{a}".to_owned());
    for chatter in ["{a}? I have heard that before", "someone told me a story about that", "{a} would make a good title for a song"] {
        add(lines, "x", chatter.to_owned());
    }
}

fn past_is(aspect: Aspect) -> &'static str {
    if matches!(aspect, Aspect::Past | Aspect::Former) { " was {a}" } else { " is {a}" }
}

fn ask(words: &Words, details: &Details, asks: &str, verb: &Verb, lines: &mut Lines) {
    let Words { asked_subject, predicate, .. } = words;
    let Predicate { auxiliary, asked, .. } = predicate;
    let clause = format!("{auxiliary} {asked_subject} {asked}");
    let bare = asked.replace("ever ", "");
    let wh = format!("{auxiliary} {asked_subject} {bare}");
    add(lines, "q+a", format!("{} {wh}?", asks.to_lowercase()));
    add(lines, "q+a", format!("can you tell me {} {asked_subject} {}?", asks.to_lowercase(), plain_says(predicate)));
    if let Some(letter) = details.place {
        add(lines, &format!("q+{letter}"), format!("where {wh} {{a}}?"));
    }
    if let Some(letter) = details.time {
        add(lines, &format!("q+{letter}"), format!("{} {wh} {{a}}?", if auxiliary == &"do" || auxiliary == &"does" { "when or how often" } else { "when" }));
        add(lines, "y", format!("{clause} {{a}} {{{letter}}}?"));
    }
    if let Some(letter) = details.companion {
        add(lines, &format!("q+{letter}"), format!("who {wh} {{a}} with?"));
    }
    if let Some(letter) = details.purpose {
        add(lines, &format!("q+{letter}"), format!("why {wh} {{a}}?"));
        add(lines, &format!("q+{letter}"), format!("for what or whom {wh} {{a}}?"));
    }
    if let Some(letter) = details.relation {
        add(lines, &format!("q+{letter}"), format!("who {} {{a}}?", plain_says(predicate)));
        add(lines, "q", format!("what about your {{{letter}}} and {{a}}?"));
    }
    add(lines, "q", format!("is there anything to say about {} and {{a}}?", if details.relation.is_some() { asked_subject } else { "yourself" }));
    add(lines, "q", "what can you tell me about {a}?".to_owned());
    add(lines, "q", format!("tell me about {}.", if words.tail.len() % 2 == 0 { "{a}".to_owned() } else { format!("{} {{a}}", verb.gerund) }));
    add(lines, "y", format!("{clause} {{a}}?"));
    add(lines, "y", format!("is it true that {asked_subject} {} {{a}}?", plain_says(predicate)));
}

fn plain_says(predicate: &Predicate) -> String {
    predicate.says.replace(['<', '>'], "")
}

fn second_predicate(words: &Words, letter: char, verb: &Verb, aspect: Aspect, other_person: bool, lines: &mut Lines) {
    let predicate = predicate(verb, aspect, other_person);
    add(lines, "p", format!("{} {} {{{letter}}}", words.subject, predicate.says));
    add(lines, "m", format!("{} {} {{{letter}}}", words.subject, predicate.denies[0]));
    let clause = format!("{} {} {}", predicate.auxiliary, words.asked_subject, predicate.asked);
    add(lines, &format!("q+{letter}"), format!("what {clause}?"));
    add(lines, "y", format!("{clause} {{{letter}}}?"));
}

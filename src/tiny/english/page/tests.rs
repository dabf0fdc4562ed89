//! From whole pages to statements and what is unread.

use super::statements::{read, statements};

#[test]
fn prose_becomes_statements_about_the_character_alone() {
    let page = "# Mara\n\nMara Voss is a captain.[1] She was born in 1840 (in Aldreth). Her brother, Jory, is a smith. \
        The rain fell for days. However, she hates the sea; she loves maps.\n\n## Ship\nTom built her ship. It is old.";
    assert_eq!(
        statements("Mara", page),
        [
            "Mara's full name is Mara Voss.",
            "Mara is a captain.",
            "Mara was born in 1840 (in Aldreth).",
            "Mara's brother, Jory, is a smith.",
            "Mara – The rain fell for days.",
            "Mara hates the sea.",
            "Mara loves maps.",
            "Tom built Mara's ship.",
            "Mara – It is old.",
        ]
    );
}

#[test]
fn what_is_indented_below_a_bullet_ends_where_the_list_goes_on() {
    let page = "- Likes:\n  - jam\n- Hates eels\n- Does not eat:\n  - ham\n- Left-handed";
    assert_eq!(
        statements("Rosa", page),
        [
            "Rosa likes jam.",
            "Rosa hates eels.",
            "Rosa – Does not eat: ham.",
            "Rosa is left-handed.",
        ]
    );
    let page = "## Fears\n- Animals:\n  - geese\n- deep water";
    assert_eq!(
        statements("Rosa", page),
        ["Rosa – Animals: geese.", "Rosa fears deep water."]
    );
}

#[test]
fn a_sentence_that_begins_with_its_verb_or_with_another_subject_is_kept() {
    for (page, expected) in [
        ("Rosa sings. Never has Rosa voted.", "Never has Rosa voted."),
        (
            "Rosa sings. Never married, her aunt has nine cats.",
            "Rosa – Never married, her aunt has nine cats.",
        ),
    ] {
        assert_eq!(statements("Rosa", page)[1..], [expected]);
    }
    let page = "Name: Harlan \"Dusty\" Voss\nAge: 40";
    assert_eq!(
        statements("Harlan Voss", page)[0],
        "Harlan Voss' name is Harlan \"Dusty\" Voss."
    );
}

#[test]
fn a_page_of_fields_becomes_sentences() {
    let page = "Name: Kit\nAge: 31\nPronouns: they/them\nHobbies:\n- chess\n- painting\nJob: Nurse\nBackground: They grew up in Oslo. Their father is a judge.\nQuote: \"No.\"";
    assert_eq!(
        statements("Kit", page),
        [
            "Kit is 31 years old.",
            "Kit's hobbies are chess and painting.",
            "Kit is a nurse.",
            "Kit grew up in Oslo.",
            "Kit's father is a judge.",
        ]
    );
}

/// Checks the statements of a page, and which of its lines give none.
pub(super) fn check(character: &str, page: &str, expected: &[&str], unread: &[&str]) {
    let read = read(character, page);
    assert_eq!(read.statements, expected);
    let texts: Vec<&str> = read.unread.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, unread);
}

#[test]
fn bullets_after_a_field_are_about_the_character() {
    check(
        "Gorin",
        "Age: 140\nwife: Hilda\n- forges axes\n- is afraid of bats\n- Left-handed\n- Never sleeps past dawn\n- Loyal to his clan\n\
         - No sense of smell\n- Born in winter\n- A red door",
        &[
            "Gorin is 140 years old.",
            "Gorin's wife is Hilda.",
            "Gorin forges axes.",
            "Gorin is afraid of bats.",
            "Gorin is left-handed.",
            "Gorin never sleeps past dawn.",
            "Gorin is loyal to his clan.",
            "Gorin has no sense of smell.",
            "Gorin was born in winter.",
            "Gorin – A red door.",
        ],
        &[],
    );
}

#[test]
fn bullets_below_a_relative_are_about_the_relative() {
    check(
        "Petra",
        "- Sister: Maja\n  - lives in Oslo\n  - Age: 7\n- sings well\n\n## Relationships\n- **Henrik** – her first mate\n- Odile: her aunt",
        &[
            "Petra's sister is Maja.",
            "Petra's sister lives in Oslo.",
            "Petra – Sister: Age: 7.",
            "Petra sings well.",
            "Henrik is Petra's first mate.",
            "Odile is Petra's aunt.",
        ],
        &[],
    );
}

#[test]
fn of_a_conversation_only_lasting_facts_of_the_character_are_taken() {
    check(
        "Rosa",
        "Rosa: Hello there! Did you bring the bread?\nBen: My mother bakes too.\nRosa: My grandmother taught me to bake. *laughs* \
         I think so.\nBen: I hate bread.\nRosa: No. I never work on Sundays.",
        &[
            "Rosa's grandmother taught her to bake.",
            "Rosa never works on Sundays.",
        ],
        &[
            "Hello there!",
            "Did you bring the bread?",
            "My mother bakes too.",
            "laughs",
            "I think so.",
            "I hate bread.",
            "No.",
        ],
    );
}

#[test]
fn a_sentence_may_open_with_when_it_happens() {
    check(
        "Iwan",
        "Iwan keeps bees. Every Saturday he sells honey with his niece, Carys. His mother, Ruth, died of a fever. \
         Most of his lyrics begin as poems. There he also met Ann. By this year he had two hives.",
        &[
            "Iwan keeps bees.",
            "Every Saturday Iwan sells honey with his niece, Carys.",
            "Iwan's mother, Ruth, died of a fever.",
            "Most of Iwan's lyrics begin as poems.",
            "Iwan also met Ann.",
            "Iwan – By this year he had two hives.",
        ],
        &[],
    );
}

#[test]
fn every_sentence_of_the_embedded_pages_is_a_statement() {
    for (character, n_sentences) in [("Alice", 39), ("Tomas", 36), ("Ines", 35)] {
        let read = read(character, crate::tiny::pages::page(character).unwrap());
        assert_eq!((read.n_sentences, read.unread), (n_sentences, vec![]));
        assert!(
            read.statements.len() >= n_sentences,
            "{:?}",
            read.statements
        );
    }
}

#[test]
fn statements_are_not_repeated() {
    assert_eq!(
        statements("Alice", "Alice likes tea. Alice likes tea. She likes tea."),
        ["Alice likes tea."]
    );
    let apart = ["Alice is kind.", "Alice hates Tom.", "Tom hates Alice."];
    assert_eq!(statements("Alice", &apart.join(" ")), apart);
    assert_eq!(
        statements("Alice", "Alice is kind. Not!"),
        ["Alice is kind.", "Alice – Not!"]
    );
}

#[test]
fn any_text_is_survived() {
    for page in [
        "",
        "\n\n",
        "((((",
        "\"\"\"",
        "🦀 Alice 🦀 is 🦀 here.",
        "爱丽丝弹吉他。",
        "Alice's",
        "Alice is",
        "- \n- \n",
        "a: b: c:\n:",
        "'s 's 's",
        "Alice Alice Alice Alice",
    ] {
        for character in ["Alice", "", " ", "🦀", "O'Brien", "爱丽丝", "Dr. Who"] {
            for statement in statements(character, page) {
                assert!(statement.contains(character));
            }
        }
    }
}

/// Checks a page that opens with two sentences about Alice.
pub(super) fn check_after_prose(page: &str, expected: &[&str], unread: &[&str]) {
    let known = ["Alice is a botanist.", "Alice lives in Porto."];
    let expected = [&known[..], expected].concat();
    let page = format!("Alice is a botanist. Alice lives in Porto.\n\n{page}");
    check("Alice", &page, &expected, unread);
}

#[test]
fn lines_below_the_name_of_a_field_are_its_text() {
    check_after_prose(
        "Likes:\ntea\ncats\n\nAppearance:\nred hair",
        &["Alice likes tea and cats.", "Alice has red hair."],
        &[],
    );
    check_after_prose("## Likes\n\ntea\ncats", &["Alice likes tea and cats."], &[]);
    check_after_prose(
        "Age\n34\nJob\nNurse\nMentor\nBob",
        &[
            "Alice is 34 years old.",
            "Alice is a nurse.",
            "Alice – Mentor.",
            "Alice – Bob.",
        ],
        &[],
    );
    check_after_prose(
        "- Age\n  - 34\n- Likes\n  - tea\n  - cats\n- Hates goats",
        &[
            "Alice is 34 years old.",
            "Alice likes tea and cats.",
            "Alice hates goats.",
        ],
        &[],
    );
}

#[test]
fn headings_that_announce_nothing_are_unread() {
    check(
        "Alice",
        "# Alice\n\n## Life\n\n### Youth\nAlice lives in Porto.\nTall\nHas a cat\n\n## Trivia\n\n## Goals",
        &[
            "Alice lives in Porto.",
            "Alice – Youth: Tall.",
            "Alice has a cat.",
        ],
        &["Trivia", "Goals"],
    );
}

#[test]
fn columns_and_tables_are_fields() {
    check(
        "Alice",
        "Name\tAlice Marsh\nAge\t34",
        &[
            "Alice's full name is Alice Marsh.",
            "Alice is 34 years old.",
        ],
        &[],
    );
    check_after_prose(
        "Field,Value\nAge,34\n\n| Likes | Dislikes |\n|---|---|\n| tea | coffee |",
        &[
            "Alice is 34 years old.",
            "Alice likes tea.",
            "Alice dislikes coffee.",
        ],
        &[],
    );
}

#[test]
fn what_wikipedia_adds_is_unread_and_the_box_is_read() {
    check(
        "Alice",
        "Alice\nFrom Wikipedia, the free encyclopedia\n\nBorn\t4 May 1990 (age 34)\nPorto, Portugal\n\nAlice is a nurse.",
        &[
            "Alice was born on 4 May 1990.",
            "Alice is 34 years old.",
            "Alice was born in Porto, Portugal.",
            "Alice is a nurse.",
        ],
        &["From Wikipedia, the free encyclopedia"],
    );
    check(
        "Alice",
        "{{Infobox person\n| nationality = {{flag|Portugal}}\n| spouse = {{marriage|Tom Reed|2015|2019|end=div}}\n\
         | shoe size = {{mystery|3}}\n}}\nAlice is {{mystery|5}} tall.",
        &[
            "Alice comes from Portugal.",
            "Alice married Tom Reed in 2015 and got divorced in 2019.",
        ],
        &["shoe size: {{…}}", "Alice is {{…}} tall."],
    );
}

#[test]
fn a_negation_is_kept() {
    check(
        "Alice",
        "Neither Alice nor Marco can swim. Alice neither smokes nor drinks. Nor can Alice swim.",
        &[
            "Neither Alice nor Marco can swim.",
            "Alice neither smokes nor drinks.",
            "Nor can Alice swim.",
        ],
        &[],
    );
}

#[test]
fn a_list_of_people_tells_what_they_are_to_the_character() {
    let expected = ["Bob is Alice's enemy.", "Marco Marsh is Alice's brother."];
    check_after_prose(
        "Relationships:\n- Bob: enemy\n- Marco Marsh: brother",
        &expected,
        &[],
    );
    check_after_prose(
        "## Relationships\n\n**Bob** – enemy\n**Marco Marsh**: brother",
        &expected,
        &[],
    );
    check_after_prose(
        "- Relationships\n  - Bob\n    - enemy\n  - Marco Marsh (brother)",
        &expected,
        &[],
    );
    check_after_prose(
        "## Friends\n- Tom: hates her cooking\n- Lena: complicated\n- Lou: a nurse\n- Mother: Ruth\n\n## Trivia\n- Lena: a nurse. She loves Bo.",
        &[
            "Tom hates Alice's cooking.",
            "Alice – Lena: complicated.",
            "Alice – Lou: a nurse.",
            "Alice's mother is Ruth.",
            "Alice – Lena: a nurse. She loves Bo.",
        ],
        &[],
    );
    check_after_prose(
        "Family\n- Bob\n- Father: Tom",
        &["Alice – Family: Bob.", "Alice's father is Tom."],
        &[],
    );
}

#[test]
fn parentheses_are_statements_or_stay_where_they_are() {
    check(
        "Alice",
        "Alice Marsh (born 4 May 1990) is tall. Alice (who is 34) plays chess (badly).\n\nSpouse: Tom (divorced)\nMother: Lena (a baker)",
        &[
            "Alice's full name is Alice Marsh.",
            "Alice is tall.",
            "Alice was born on 4 May 1990.",
            "Alice (who is 34) plays chess (badly).",
            "Alice – Spouse: Tom (divorced).",
            "Alice's mother is Lena.",
            "Alice's mother is a baker.",
        ],
        &[],
    );
}

#[test]
fn interviews_and_letters_of_a_list_are_read() {
    check_after_prose(
        "Q: Where do you work?\nA: I work in a garden.\nQ: Do you swim?\nA: Never.\n\na. Alice was a sailor.",
        &[
            "Alice works in a garden.",
            "Alice – Do you swim? Never.",
            "Alice was a sailor.",
        ],
        &["Where do you work?"],
    );
    check(
        "Alice",
        "[Alice: kind, shy; Scenario: garden]",
        &["Alice is kind and shy.", "Alice – Scenario: garden."],
        &[],
    );
}

#[test]
fn blocks_of_html_do_not_run_together() {
    check_after_prose(
        "<ul><li>Alice has a cat</li><li>She has a dog</li></ul><br>Alice is 34.",
        &["Alice has a cat.", "Alice has a dog.", "Alice is 34."],
        &[],
    );
}

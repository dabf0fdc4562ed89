//! What is kept as it stands: what is no fact, somebody else's, or not understood.

use super::statements::read;
use super::tests::{check, check_after_prose};

/// Checks that each line is kept as it stands behind these words.
fn check_kept(under: &str, page: &str, lines: &[&str]) {
    let under = match under {
        "" => String::new(),
        under => format!("{under}: "),
    };
    let expected: Vec<String> = lines
        .iter()
        .map(|line| match line.ends_with('?') {
            true => format!("Alice – {under}{line}"),
            false => format!("Alice – {under}{line}."),
        })
        .collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_after_prose(page, &expected, &[]);
}

#[test]
fn what_stands_under_a_heading_that_doubts_it_is_kept_with_the_heading() {
    for heading in [
        "Rumours",
        "False claims",
        "Used to be",
        "Can't",
        "What people say",
        "Goals",
    ] {
        let lines = ["She killed the king", "swim", "Alice is a vampire"];
        check_kept(
            heading,
            &format!("## {heading}\n- {}", lines.join("\n- ")),
            &lines,
        );
    }
    check_after_prose(
        "Rumours:\n- is a thief\n\nShe has a cat.",
        &["Alice – Rumours: is a thief.", "Alice has a cat."],
        &[],
    );
}

#[test]
fn what_stands_under_the_name_of_somebody_is_not_the_characters() {
    let lines = ["Has black hair", "A thief"];
    for heading in ["Doran", "Her brother Kesh", "King Oren", "Other characters"] {
        check_kept(
            heading,
            &format!("## {heading}\n- {}", lines.join("\n- ")),
            &lines,
        );
    }
    check_after_prose(
        "## Doran\nDoran is kind. He hates Alice. She fears him.\n### Looks\nTall\n## Life\nShe has a cat.",
        &[
            "Alice – Doran: Doran is kind.",
            "Alice – Doran: He hates Alice.",
            "Alice – Doran: She fears him.",
            "Alice – Doran, Looks: Tall.",
            "Alice has a cat.",
        ],
        &[],
    );
}

#[test]
fn what_others_say_or_think_stays_what_they_say_or_think() {
    let sentences = [
        "Doran says that Alice is a witch.",
        "Kesh believes that Alice is dead.",
        "Nobody thinks that Alice is a thief.",
        "It is false that Alice is a queen.",
        "If Alice is angry, she bakes.",
    ];
    check_after_prose(&sentences.join(" "), &sentences, &[]);
}

#[test]
fn a_field_that_takes_something_back_is_kept_as_it_stands() {
    let lines = [
        "Occupation: Baker (former)",
        "Species: Elf (half)",
        "Likes: everything except fish",
        "Dislikes: none",
        "Smokes: never",
        "Killed by: Kesh",
        "Not afraid of: spiders",
        "Hair: red/brown?",
        "Enemies: 🐍",
        "Appearance: a scar, no tattoos",
        "Favourite colour – blue",
    ];
    check_kept("", &lines.join("\n"), &lines);
}

#[test]
fn what_is_not_seen_parts_or_joins_nothing() {
    check_after_prose(
        "She is tall.\u{2028}She has \u{202e}a cat.\n✨ Age: 34 ✨\nPersonality: shy; calm, but fierce when she is provoked at work\nShe sings.",
        &[
            "Alice is tall.",
            "Alice has a cat.",
            "Alice is 34 years old.",
            "Alice is shy.",
            "Alice – Personality: calm, but fierce when she is provoked at work.",
            "Alice sings.",
        ],
        &[],
    );
}

#[test]
fn tables_of_html_and_of_wikis_are_read_as_those_of_markdown() {
    let expected = [
        "Alice is 34 years old.",
        "Alice – Former job: Sailor, Cook.",
        "Alice – Person: Doran; Relation: brother.",
    ];
    for page in [
        "<table><tr><th>Age</th><td>34</td></tr><tr><th>Former job</th><td>Sailor<br>Cook</td></tr></table>\n\
         <table><tr><th>Person</th><th>Relation</th></tr><tr><td>Doran</td><td>brother</td></tr></table>",
        "{| class=\"wikitable\"\n! Age\n| 34\n|-\n! Former job\n| Sailor<br>Cook\n|}\n\
         {|\n! Person !! Relation\n|-\n| Doran || style=\"x\" | brother\n|}",
        "| Trait | Value |\n|---|---|\n| Age | 34 |\n| Former job | Sailor<br>Cook |\n\n\
         | Person | Relation |\n|---|---|\n| Doran | brother |",
    ] {
        check_after_prose(page, &expected, &[]);
    }
    check_after_prose(
        "<dl><dt>Likes</dt><dd>tea</dd></dl><ul><li>Hates goats</li></ul>\n; Dislikes\n: rain",
        &[
            "Alice likes tea.",
            "Alice hates goats.",
            "Alice dislikes rain.",
        ],
        &[],
    );
}

#[test]
fn a_pronoun_that_may_mean_somebody_else_stays_a_pronoun() {
    for (page, kept) in [
        (
            "Her sister Lena is a doctor. She lives in Ostend.",
            "She lives in Ostend",
        ),
        (
            "Her eldest sister, Ada, ran away. She is a witch.",
            "She is a witch",
        ),
        (
            "Alice hates Queen Adela. She is a tyrant.",
            "She is a tyrant",
        ),
        ("Alice works for Nell. She is a tyrant.", "She is a tyrant"),
        ("Alice fears her. She has one leg.", "She has one leg"),
        (
            "Besides Alice there is Nell. She is the cook.",
            "She is the cook",
        ),
    ] {
        let read = read(
            "Alice",
            &format!("Alice lives in Porto. She sings.\n\n{page}"),
        );
        let last = read.statements.last().map(String::as_str);
        assert_eq!(last, Some(format!("Alice – {kept}.").as_str()), "{page}");
    }
    check_after_prose(
        "She grew up with her brother Tom. She paints. She lives near Nell's bakery. She is tall.",
        &[
            "Alice grew up with her brother Tom.",
            "Alice paints.",
            "Alice lives near Nell's bakery.",
            "Alice is tall.",
        ],
        &[],
    );
}

#[test]
fn what_somebody_else_says_or_writes_is_not_the_characters() {
    check_after_prose(
        "Tom: I'm a priest.\n<Rook> I am the king\n\nDear Alice,\nI am your father.",
        &[
            "Alice – Tom: I'm a priest.",
            "Alice – Rook: I am the king.",
            "Alice – a letter to Alice: I am your father.",
        ],
        &[],
    );
    check(
        "Alice",
        "I'm Alice. I am a nurse. My mother said, \"I hate the sea.\" Myself, I swim. I'm not cold.",
        &[
            "Alice is a nurse.",
            "Alice – My mother said, \"I hate the sea.\"",
            "Alice – Myself, I swim.",
            "Alice is not cold.",
        ],
        &["I'm Alice."],
    );
}

#[test]
fn a_deeper_bullet_and_a_short_answer_keep_what_they_belong_to() {
    check_after_prose(
        "- Never\n  - lies\n- When drunk\n  - tells the truth\n\nIs she brave? Very.\nSingle? Yes\nDangerous? Very",
        &[
            "Alice – Never.",
            "Alice – Never: lies.",
            "Alice – When drunk.",
            "Alice – When drunk: tells the truth.",
            "Alice – Is she brave? Very.",
            "Alice – Single? Yes.",
            "Alice – Dangerous? Very.",
        ],
        &[],
    );
    check_after_prose(
        "In the play, she is a nun. She has a son.\nJob: nurse\n(former)\nHome: burned down\nPet: hates them",
        &[
            "In the play, Alice is a nun.",
            "Alice – She has a son.",
            "Alice – Job: nurse (former).",
            "Alice – Home: burned down.",
            "Alice – Pet: hates them.",
        ],
        &[],
    );
}

#[test]
fn what_a_line_or_a_heading_announces_is_said_with_it() {
    check_after_prose(
        "She does not like:\n- rain\n- snow\n\n## Dislikes\nFish. Loud people.\n## Looks\nAge: 27 at death\nHeight: 170 cm in heels",
        &[
            "Alice – She does not like: rain.",
            "Alice – She does not like: snow.",
            "Alice – Dislikes: Fish.",
            "Alice – Dislikes: Loud people.",
            "Alice's age is 27 at death.",
            "Alice's height is 170 cm in heels.",
        ],
        &[],
    );
}

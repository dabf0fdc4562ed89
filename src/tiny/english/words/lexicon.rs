//! Word lists: what the rules know of English, as plain data.

/// Irregular verbs: base, past, past participle.
pub(crate) const IRREGULAR_VERBS: &str = "arise arose arisen, awake awoke awoken, bear bore borne, beat beat beaten, become became become, begin began begun, bend bent bent, \
bet bet bet, bind bound bound, bite bit bitten, bleed bled bled, blow blew blown, break broke broken, breed bred bred, \
bring brought brought, build built built, burst burst burst, buy bought bought, cast cast cast, catch caught caught, choose chose chosen, \
cling clung clung, come came come, cost cost cost, creep crept crept, cut cut cut, deal dealt dealt, dig dug dug, do did done, \
draw drew drawn, drink drank drunk, drive drove driven, eat ate eaten, fall fell fallen, feed fed fed, feel felt felt, fight fought fought, \
find found found, flee fled fled, fly flew flown, forbid forbade forbidden, forget forgot forgotten, forgive forgave forgiven, \
freeze froze frozen, get got got, give gave given, go went gone, grow grew grown, hang hung hung, have had had, hear heard heard, \
hide hid hidden, hit hit hit, hold held held, hurt hurt hurt, keep kept kept, know knew known, lay laid laid, lead led led, \
leave left left, lend lent lent, let let let, lie lay lain, light lit lit, lose lost lost, make made made, mean meant meant, meet met met, \
outgrow outgrew outgrown, overcome overcame overcome, oversee oversaw overseen, pay paid paid, put put put, quit quit quit, read read read, \
rebuild rebuilt rebuilt, ride rode ridden, ring rang rung, rise rose risen, run ran run, say said said, see saw seen, seek sought sought, \
sell sold sold, send sent sent, set set set, shake shook shaken, shine shone shone, shoot shot shot, shrink shrank shrunk, shut shut shut, \
sing sang sung, sink sank sunk, sit sat sat, sleep slept slept, slide slid slid, speak spoke spoken, spend spent spent, spin spun spun, \
split split split, spread spread spread, stand stood stood, steal stole stolen, stick stuck stuck, strike struck struck, \
strive strove striven, swear swore sworn, sweep swept swept, swim swam swum, swing swung swung, take took taken, teach taught taught, \
tear tore torn, tell told told, think thought thought, throw threw thrown, undergo underwent undergone, understand understood understood, \
undertake undertook undertaken, wake woke woken, wear wore worn, weave wove woven, weep wept wept, win won won, wind wound wound, \
withdraw withdrew withdrawn, write wrote written";

/// Regular verbs whose forms may be taken for verbs wherever a verb fits.
pub(crate) const REGULAR_VERBS: &str = "abandon accept accompany accuse achieve acquire act adapt add address adjust admire admit adopt adore advise \
affect agree aid aim allow amuse analyse analyze announce annoy answer appear apply appoint appreciate approach argue arrange arrest arrive ask aspire \
assist associate assume attack attempt attend attract avoid balance ban base battle befriend behave believe belong betray blame bless bore \
borrow bother breathe brew bully bury bake calculate call calm capture care carry cause celebrate challenge change charge charm chase chastise chat \
check cherish claim clean climb close coach collaborate collapse collect combine comfort command commission commit communicate compete complain \
complete compose conceal conceive concentrate concern concoct conclude conduct confess confide confront confuse conjure connect conquer consider consist \
construct consult consume contain continue contribute control convert convince cook cope copy count cover craft crave create criticise criticize cross cry \
cultivate cure cycle damage dance dare date debut decide declare decline decorate dedicate deduce defeat defend defy delay deliver demand demonstrate \
deny depend describe deserve design desire despise destroy detect detest determine develop devote die differ direct disagree disappear discover discuss dislike \
dismantle display dispute distrust disguise divide divorce donate double doubt draft dream dress dwell earn edit educate embed embrace emerge emphasise employ enable \
encounter encourage end endure engage enjoy enlist ensure enter entertain escape establish evolve examine exceed excel exchange exhibit exist expand expect experience \
experiment explain explore express extend face fail fear feature feud file fill finish fish fix flirt flourish focus follow force forge form foster \
frighten fulfil fulfill function gain garden gather glow govern graduate grant greet guard guess guide handle happen harbor harbour harvest hate haunt heal help \
hesitate hike hire honor honour hope host hug hunt idolise idolize ignore imagine immigrate impersonate impress improve include increase indicate infiltrate influence inform \
inherit inhabit injure insist inspect inspire instruct intend interact interrupt introduce invent invest investigate invite involve join joke judge juggle jump \
kill kiss knit knock label lack last laugh launch learn lecture like limit listen live loathe long look love maintain manage march mark marry mask master \
match matter meditate memorise memorize mend mention mentor migrate mind miss misunderstand mock move murder name narrate navigate need neglect notice \
nurture obey object observe obtain occupy occur offer open operate oppose order organise organize originate overhear owe own pack paint participate pass patrol patronize \
perform persuade photograph pick place plan plant play plot point polish possess post practice practise praise pray prefer prepare present preserve \
pretend prevent print prioritize prioritise proceed produce program promise promote propose protect prove provide publish pull punish purchase pursue push question race raise reach \
react realise realize rebel recall receive recite recognise recognize recommend reconcile record recover recruit reduce refer reflect refuse regard regret \
rehearse reject rejoin relate relax release rely remain remember remind remove renounce rent repair repeat replace reply report represent require rescue \
research resemble resent reside resign resist resolve respect respond rest restore retain retire return reveal revise revisit reward roam rule sail save \
savour scare schedule score search seem seize select separate serve settle sew share shop shout show sign skate sketch ski skip smell smile smoke smuggle sneak \
solve sort specialise specialize sponsor spot sprain stage star stare start state stay stem stop store strengthen stress struggle study succeed suffer suggest suit supply \
support suppose surf surprise surround survive suspect symbolise symbolize talk taste teleport tend terminate test thank threaten thrive tolerate torture touch tour trace trade train transform \
translate transmit travel treasure treat trick tremble triumph trust try turn tutor tweet twist type unite urge use usher utilise utilize enquire tap value vanish venture view visit volunteer vote vow wait \
walk wander want warn wash waste watch water welcome whisper whistle wield wish witness wonder work worry worship wrestle yearn yell yield balance \
bicker confiscate transfer forfeit flee remark comment compare premiere attribute mourn resume consent complain inquire remodel enroll enrol emigrate assassinate accomplish adhere \
administer advocate anticipate articulate assemble assert await benefit blend boast browse campaign cater cease chair clash classify coincide commence compensate comprise condemn \
conform consolidate conspire contemplate contrast crack curate debate deceive decorate dedicate deepen defect denounce depart depict deteriorate devise disapprove discourage distinguish \
dominate duel elect eliminate embody embark enchant enhance enrich entail envision envy equip eschew evade exemplify exhaust exile exploit expose favor favour finance flatter forage frequent grieve hack hail \
harass herd hoard hum hypnotise idle illustrate impose incorporate indulge infuse initiate innovate insult integrate intercept interpret interview invade irritate isolate jog journal lambast lament lease lobby lodge \
lure lurk manipulate market mediate memoir mimic mine modify monitor motivate negotiate nickname nominate obsess orchestrate outperform outrank outsmart outwit overlook panic penalise perceive perfect permit persist \
pioneer pity pledge ponder portray predict preside prevail privilege profess prompt prosper provoke quarrel quote ramble reassure rebuke reckon refine regain reign reinforce rejoice relish relocate renovate repay research \
resort restrict retreat reunite revere revolve ridicule romance salute sample scold scorn scribble sculpt secure shape shelter sip skateboard snore soften span spar sparkle spy stammer steer stitch stroll stutter \
submit summon supervise surpass surrender sympathise sympathize tackle tame tease tend thirst tinker toil torment trail trap treasure trouble uncover undermine update uphold vacation verify wager warm weigh wheel wed whip worsen \
burn carve crochet dye faint fasten fold giggle grumble haggle haul hoover mow peel pilot scrub sneeze stack sunbathe swap terrify vacuum";

/// Function words that begin an adverbial phrase.
pub(crate) const PREPOSITIONS: &str = "about above across after against along alongside amid among around as at before behind below beneath beside besides \
between beyond by concerning despite down during except following for from in inside instead into like near of off on onto opposite out outside over past per regarding \
since than through throughout till to toward towards under underneath unlike until unto up upon via with within without";

/// Words that begin a subordinate clause.
pub(crate) const SUBORDINATORS: &str = "after although as because before if once since than that though unless until when whenever where whereas wherever \
whether while who whom whose which why how what lest";

/// Determiners: the next word cannot be a finite verb.
pub(crate) const DETERMINERS: &str = "a an the this that these those some any each every no another both all several many few most other such various my \
your his her its our their whose two three four five six seven eight nine ten first second third last next own one much more";

/// Adverbs without `-ly`, and those words that stand between subject and verb.
pub(crate) const ADVERBS: &str = "also always almost already again ago anyway away even ever everywhere far first hard hardly here how however indeed \
instead just last later long maybe more most much never next not now nowadays often once only perhaps quite rather really seldom since so sometimes somewhat soon still \
subsequently then there therefore thus today together tomorrow tonight too twice usually very well yet yesterday first both otherwise eventually nearly";

/// Words in `-ly` which are no adverbs.
pub(crate) const LY_NOT_ADVERBS: &str = "family early friendly lonely lovely elderly silly ugly holy july italy reply supply apply rely fly ally belly bully \
jelly assembly deadly costly curly melancholy monopoly butterfly anomaly sly emily kelly molly sally billy lily holly daily monthly yearly weekly orderly scholarly worldly motherly fatherly brotherly";

/// Words that say little: they count for nothing when two texts are compared.
pub(crate) const STOP_WORDS: &str = "a about after again all also always am an and any are as at be because been before being both but by can cannot could \
did do does doing done during each even ever every few for from further get gets getting got had has have having he her here hers herself him himself his how i if in into is \
it its itself just let like lot made make makes many may me might mine more most much must my myself never no nor not now of often off on once one only or other our ours ourselves out over own please \
quite rather really same shall she should so some something somewhat still such tell than that the their theirs them themselves then there these they thing things this those through to too \
under until up upon us use usually very was we well were what when where whether which while who whom whose why will with within without would yes yet you your yours yourself \
kind sort way person anything everything nothing someone somebody anyone actually ask say says said true know oh";

/// Male given names, titles and kin words.
pub(crate) const MALE: &str = "adam adrian alan albert alexander alfred andrew anthony anton antonio arthur barry ben benjamin bernard bill bob brandon brian carl \
carlos charles charlie chris christian christopher christoph colin craig daniel dave david dean dennis derek diego dominic donald doug edgar edward eric ernest \
felix ferdinand frank franz fred frederick friedrich gary gavin george georg gerald giovanni glenn gordon graham greg gregory gustav harold harry heinrich henry horace howard hugh hugo ian isaac ivan jack \
jacob jake james jason jeff jeremy jerry jim jimmy joe joel johann johannes john johnny jon jonas jonathan jorge jose joseph josef joshua juan julian justin karl keith ken kenji kenneth kevin \
lars larry leo leon leonard leopold lewis liam louis lucas ludwig luis luke marcel marco marcus mario mark martin matt matthew max maximilian michael miguel mike mohammed muhammad napoleon nathan neil \
neville nicholas nick nikolaus nikolai noah norman oliver oscar otto owen pablo patrick paul pedro peter phil philip pierre rafael ralph ray raymond richard rob robert roger ron ronald roy rudolf rudolph \
rupert ryan sam samuel scott sean sebastian simon stanley stefan stephan stephen steve steven stuart takeshi ted terry theodor theodore thomas tim tobias toby todd tom tommy tony tyler victor viktor vincent \
voldemort walter warren wayne william wolfgang zachary father dad brother son uncle grandfather grandpa nephew husband king prince duke lord sir mr boyfriend emperor \
count baron archduke boy man gentleman grandson stepfather godfather widower monk actor waiter";

/// Female given names, titles and kin words.
pub(crate) const FEMALE: &str = "abigail ada adele agatha agnes alexandra alice alicia amanda amelia amy andrea angela anita ann anna anne annie antonie audrey ava \
barbara beatrice bella beth betty brenda bridget carla carmen carol caroline catherine cecilia charlotte chloe christina christine cindy claire clara claudia cynthia daisy dana daphne \
deborah denise diana diane dolores donna dora doris dorothy edith eileen elaine eleanor elena elisabeth elizabeth ella ellen elsa emily emma erica erin esther eva eve evelyn fatima fiona \
florence frances freya gabriella gina ginny giulietta gloria grace greta hannah hazel heather heidi helen helene helena hermione hilda holly ida inez ingrid irene iris isabel isabella jacqueline jane janet janice jasmine jean jennifer \
jenny jessica jill joan joanna josephine joyce judith judy julia julie karen kate katherine kathleen kathy kelly kim laura lauren leah lena leonora lily linda lisa lois louise lucia lucy luna lydia \
madeline maggie margaret maria marie marilyn marina marta martha mary matilda maya megan melanie melissa mia michelle miranda miriam molly monica nadia nancy naomi natalia natalie natasha nellie nicole nina nora olga \
olivia pamela patricia paula penelope petra phoebe priya rachel rebecca regina rita rosa rose rosemary ruby ruth sabrina sally samantha sandra sara sarah sharon sheila silvia sofia sonia sophia \
sophie stella stephanie susan susanna suzanne sylvia tamara tanya tara teresa therese tina tracy ursula valerie vanessa vera veronica victoria violet virginia vivian wanda wendy yoko yolanda yuki yvonne zoe \
mother mom mum sister daughter aunt grandmother grandma niece wife queen princess duchess lady mrs miss ms madam countess girlfriend girl woman granddaughter stepmother godmother widow nun actress waitress frau baroness empress";

/// People words which may stand for a rival of the pronoun.
pub(crate) const PEOPLE: &str = "friend teacher mentor boss partner colleague student doctor neighbour neighbor rival enemy lover spouse child baby cousin parent sibling twin \
professor captain general author writer musician composer poet president minister agent officer leader master servant nurse patron secretary pupil biographer critic assistant spy \
people children men women boys girls guest stranger client fan employer owner manager director coach stepchild guardian peer roommate classmate opponent ancestor grandparent";

/// Animals of which a text says `he` or `she`.
pub(crate) const ANIMALS: &str = "dog cat puppy kitten horse mare pony donkey mule cow bull ox goat sheep ewe lamb pig hen rooster chicken duck goose swan \
parrot budgie canary bird owl crow raven magpie hawk falcon eagle rabbit bunny hare hamster gerbil mouse rat ferret fox wolf bear tiger lion lynx snake python \
lizard gecko iguana tortoise turtle frog toad fish goldfish spider tarantula dragon griffin unicorn whippet greyhound terrier poodle collie labrador retriever \
spaniel beagle husky dachshund pug mutt hound pet stallion gelding foal calf familiar monkey ape elephant seal otter hedgehog pigeon linnet mongrel tomcat tabby";

/// Words for people that are in no other list, and end in nothing that shows it.
pub(crate) const OTHER_PEOPLE: &str = "abbot abbess prior bishop deacon curate postman butler maid governess cook landlord tenant vicar pastor rabbi imam priest ex fiance fiancé fiancée nanny guardian lodger therapist chief \
heir host hostess user apprentice mayor sheriff knight witch wizard ghost king queen saint toddler newborn teenager kid chap bloke guy lad lass relative in-law \
mother-in-law father-in-law sister-in-law brother-in-law stepsister stepbrother half-sister half-brother godson goddaughter godchild grandchild nan gran granny \
grandad granddad mama papa bride groom housemate flatmate workmate teammate soulmate carer caretaker someone somebody";

/// Things whose names end like those of people who do something.
pub(crate) const THINGS_IN_ER: &str = "computer letter dinner supper winter summer answer number paper newspaper river water flower power order corner center \
centre tower drawer cooker sweater jumper finger shoulder liver temper manner career beer hair door floor mirror color colour odor odour motor tractor chair harbor \
harbour honor honour flavor flavour labor favor humor humour behavior behaviour armor armour error horror terror factor sector vector anchor elevator radiator \
calculator generator refrigerator escalator razor monitor projector feet meter theater theatre quarter chapter matter weather leather feather butter laughter border \
ladder bladder cancer disorder fever ulcer trigger trailer hammer banner dagger locker boiler heater freezer printer scanner counter timer charger planner container \
toaster scooter helicopter poster oyster cover cider ginger pepper copper silver timber amber december september november october other another character register \
committee coffee tree knee degree fee interior exterior alligator transmitter lighter slipper sneaker trouser diaper buffer chamber lumber rubber plaster cluster \
shutter shelter filter litter glitter barrier frontier frier typewriter wrapper zipper cucumber list artist's fist wrist mist twist waist breast chest";

/// Jobs, for questions about work and for swaps.
pub(crate) const JOBS: &str = "accountant actor actress architect artist astronaut author baker banker barber biologist botanist builder butcher captain carpenter chef chemist clerk composer \
consultant cook dancer dentist designer detective director doctor driver economist editor electrician engineer farmer firefighter fisherman gardener geologist hairdresser historian hunter \
inventor journalist judge lawyer lecturer librarian mathematician mechanic merchant midwife miner model musician nurse officer painter pharmacist philosopher photographer physicist pianist pilot plumber poet \
policeman politician potter priest producer professor programmer psychologist sailor scientist sculptor secretary singer smuggler soldier spy student surgeon tailor teacher translator veterinarian violinist \
waiter waitress writer";

/// Words which can be swapped for another of their line and give a contradiction.
pub(crate) const KINDS: &[&str] = &[
    JOBS,
    "red blue green yellow black white brown grey purple orange pink golden silver blond auburn",
    "guitar piano violin cello flute drums trumpet harp clarinet saxophone accordion banjo viola organ",
    "dog cat horse rabbit parrot hamster goldfish snake tortoise pony donkey fox owl otter beetle",
    "dogs cats horses rabbits parrots hamsters snakes owls otters wolves bears",
    "pizza pasta soup rice bread cheese chocolate sushi steak salad curry pancakes noodles ice-cream cake",
    "coffee tea wine beer milk juice whisky lemonade cider",
    "apples pears cherries grapes oranges bananas plums strawberries",
    "football tennis chess basketball hockey swimming rugby golf volleyball boxing fencing cricket badminton",
    "monday tuesday wednesday thursday friday saturday sunday",
    "january february march april may june july august september october november december",
    "spring summer autumn winter",
    "morning afternoon evening night",
    "one two three four five six seven eight nine ten eleven twelve",
    "first second third fourth fifth sixth seventh eighth ninth tenth",
    "mother father sister brother aunt uncle cousin grandmother grandfather",
    "son daughter nephew niece grandson granddaughter",
    "wife sister aunt",
    "husband brother uncle",
    "french german italian spanish english russian mandarin arabic japanese portuguese greek dutch swedish polish austrian",
    "france germany italy spain england russia china japan portugal greece austria sweden poland ireland scotland norway",
    "paris london berlin rome madrid vienna bonn prague lisbon dublin athens oslo moscow tokyo amsterdam boston chicago edinburgh",
    "north south east west",
    "northern southern eastern western",
    "painting dancing cooking singing gardening sewing hiking cycling reading writing knitting fishing photography swimming running skiing",
    "mathematics history physics chemistry biology geography philosophy psychology literature economics music medicine law linguistics",
    "university school library hospital factory theatre museum church bakery court restaurant bank",
    "city village town island castle farm forest desert",
    "river lake sea mountain valley",
    "novels poems plays letters songs symphonies operas essays",
    "novel poem play letter song symphony opera essay sonata ballet",
    "car bicycle train boat motorcycle bus plane",
    "roses tulips lilies daisies orchids",
    "hours days weeks months years",
    "parents children siblings grandparents",
    "friend enemy",
    "eyes ears hands feet",
    "water fire heights spiders darkness thunder crowds",
    "gold silver bronze iron copper",
    "daily weekly monthly yearly",
];

/// Pairs of opposites.
pub(crate) const OPPOSITES: &str = "good bad, big small, large small, long short, tall short, young old, early late, rich poor, happy sad, \
strong weak, hot cold, warm cold, light dark, fast slow, easy difficult, clean dirty, quiet loud, quiet noisy, brave cowardly, kind cruel, shy outgoing, introverted extroverted, \
introvert extrovert, honest dishonest, loyal disloyal, patient impatient, polite rude, clever stupid, intelligent foolish, smart foolish, lazy hardworking, calm nervous, cheerful gloomy, \
optimistic pessimistic, generous stingy, modest arrogant, humble arrogant, famous unknown, public private, secret public, open closed, full empty, safe dangerous, deaf blind, healthy ill, married single, \
alive dead, love hate, loves hates, loved hated, like dislike, likes dislikes, liked disliked, enjoy detest, enjoys detests, enjoyed detested, buy sell, \
bought sold, buys sells, always never, often rarely, before after, inside outside, with without, more less, most least, best worst, better worse, first last, oldest youngest, older younger, \
elder younger, eldest youngest, many few, male female, boy girl, man woman, begin stop, began stopped, begins stops, accept refuse, accepted refused, accepts refuses, \
trust distrust, trusts distrusts, trusted distrusted, remember forget, remembers forgets, remembered forgot, success failure, successful unsuccessful, proud ashamed, confident insecure, \
urban rural, major minor, able unable, possible impossible, similar different, expert beginner, excellent terrible, fluent hopeless, passionate indifferent, intense mild, \
complex simple, curly straight, thin fat, left right, day night, success failure, increase decrease, increases decreases, protect harm, protects harms, \
friendly hostile, peaceful violent, serious playful, strict lenient, careful careless, logical illogical, legal illegal, necessary unnecessary, fond tired, popular unpopular, innocent guilty, \
wild tame, deep shallow, high low, new old, avid reluctant, senior junior, legendary unknown, charming dull, compassionate heartless, protective neglectful, close distant, admires despises, admired despised, admire despise, \
permanent temporary, complete partial, beautiful ugly, ancient modern, vegetarian carnivore, optimist pessimist, increasing decreasing, lucky unlucky, sweet bitter, comfortable uneasy, tidy messy, stubborn obedient, talkative silent";

/// Nouns whose plural has no `-s`.
pub(crate) const IRREGULAR_PLURALS: &str = "people children men women teeth feet mice geese police parents siblings clothes both others these those we they many several few";

/// Words in `-s` which are singular.
pub(crate) const S_SINGULARS: &str = "this is was has his its us as bus gas news always lens chaos class boss loss mathematics physics politics economics linguistics ethics series species yes \
afterwards besides perhaps across less unless towards progress success business illness";

/// Adjectives that may stand right before a word that looks like a verb.
pub(crate) const ADJECTIVES: &str = "able afraid alone ancient angry avid bad beautiful best better big blond bold brave brief bright brown busy calm charming cheerful clean clever close cold common complete complex confident \
cool creative critical cruel curious dangerous dark daughter dead deaf dear deep different difficult dirty early easy elder eldest empty excellent expensive expert famous fast favorite favourite final fine fluent fond free \
fresh friendly full funny general gentle good great green grey happy hard healthy heavy high honest hot huge human ill important innocent intelligent intense kind large late lazy left legendary light little local lonely long loud lovely \
loyal lucky main major married mature mild military minor modern modest musical narrow natural nervous new nice noisy nuclear old older oldest only open orange organised original patient personal pink polite poor popular possible powerful pregnant \
pretty previous primary private professional proper proud public quick quiet rare ready real recent red responsible rich right romantic rude sad safe same secret senior serious sharp short shy sick silent similar simple single skilled slow small \
smart social soft special specific spicy strange strict strong stubborn successful superb sweet tall talented terrible thin tiny tired true typical ugly unhappy unusual upset urban useful usual vegan vegetarian warm weak wealthy white whole wide wild \
willing wise wonderful wooden wrong yellow young younger youngest unaware aware vital immune allergic crucial left-handed right-handed introverted extroverted arrogant modest humble jealous bossy clumsy brilliant loving caring calm gentle stern grumpy witty vain timid mad glad keen fierce bitter fluent present absent adept superstitious unable unwilling attractive plain pale slim stout bald outgoing easygoing hardworking reserved distraught horrified";

/// Places as common nouns.
pub(crate) const PLACES: &str = "apartment area attic bakery bank bar beach cafe camp capital castle cellar church city clinic coast college company cottage country countryside court desert downtown factory farm flat forest garden \
harbour home hospital hotel house hut island kitchen lab laboratory library lighthouse market monastery mountain mountains museum neighbourhood neighborhood north office orphanage palace park port prison region restaurant river road school sea shop south \
station store street suburb suburbs theatre theater tower town university valley village west woods workshop world zoo agency studio academy seaside ranch lake bookshop";

/// A set of the words of a list.
pub(crate) fn set_of(list: &'static str) -> std::collections::HashSet<&'static str> {
    list.split_whitespace().collect()
}

pub(crate) static PROPER: std::sync::LazyLock<std::collections::HashSet<&str>> =
    std::sync::LazyLock::new(|| {
        KINDS
            .iter()
            .filter(|kind| {
                ["monday", "january", "french", "france", "paris"]
                    .iter()
                    .any(|word| has_word(kind, word))
            })
            .flat_map(|kind| kind.split_whitespace())
            .collect()
    });
static COMMON: std::sync::LazyLock<std::collections::HashSet<&str>> =
    std::sync::LazyLock::new(|| {
        let opposites = OPPOSITES.split([' ', ',']).filter(|word| !word.is_empty());
        KINDS
            .iter()
            .flat_map(|kind| kind.split_whitespace())
            .chain(PLACES.split_whitespace())
            .chain(opposites)
            .filter(|word| !PROPER.contains(word))
            .collect()
    });

/// Whether the word is a name of a day, a month, a place or a language.
pub(crate) fn is_proper(lower: &str) -> bool {
    PROPER.contains(lower)
}

/// Whether a word is in a list that blanks part.
pub(crate) fn has_word(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|listed| listed == word)
}

/// Whether a word or several are in a list that commas part.
pub(crate) fn is_listed(list: &str, words: &str) -> bool {
    list.split(", ").any(|listed| listed == words)
}

/// Whether the word is in one of the lists of common words.
pub(crate) fn is_common(lower: &str) -> bool {
    COMMON.contains(lower)
}

/// The words of the lists of [`KINDS`] that hold this one.
fn kind_with(word: &str) -> impl Iterator<Item = &'static str> {
    KINDS
        .iter()
        .filter(move |kind| has_word(kind, word))
        .flat_map(|kind| kind.split_whitespace())
}

/// Whether the word is a known city or country.
pub(crate) fn is_city(lower: &str) -> bool {
    kind_with("paris")
        .chain(kind_with("france"))
        .any(|word| word == lower)
}

/// Whether the word is a known language.
pub(crate) fn is_language(lower: &str) -> bool {
    kind_with("french").any(|word| word == lower)
}

/// Whether the word is a small number written out.
pub(crate) fn is_numeral(lower: &str) -> bool {
    kind_with("eleven").any(|word| word == lower)
}

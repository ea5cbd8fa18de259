"""Hand-written word lists: topics and what is said of them, names, sentences."""


def _words(*lines: str) -> list[str]:
    return [word for line in lines for word in line.split()]


TOPICS: dict[str, dict[str, str]] = {
    "sports": {
        "football_nfl": "quarterback touchdown playoff linebacker kickoff receiver draft fumble",
        "basketball_nba": "point guard rebound dunk lottery triple-double rookie overtime",
        "baseball_mlb": "pitcher inning homer bullpen shortstop pennant strikeout catcher",
        "golf": "fairway birdie putt caddie bogey clubhouse major tee",
    },
    "news": {
        "newspolitics": "senate impeachment hearing ballot governor campaign debate primary",
        "newsworld": "summit protest embassy sanctions border treaty ceasefire refugees",
        "newscrime": "suspect sheriff charges robbery detective trial verdict arrest",
        "newsscience": "telescope satellite fossil asteroid laboratory robot genome orbit",
    },
    "finance": {
        "markets": "stocks dow investors shares rally yields trading futures",
        "finance-real-estate": "mortgage homebuyers listing rent condo landlord appraisal housing",
        "finance-saving-investing": "retirement savings pension dividend portfolio fund ira bonds",
        "finance-companies": "merger layoffs earnings startup lawsuit chief acquisition profit",
    },
    "lifestyle": {
        "lifestylebuzz": "viral mom influencer neighbors surprise puppy tweet wedding",
        "lifestylehoroscope": "zodiac moon aquarius retrograde stars leo forecast sign",
        "lifestyleroyals": "palace duchess prince crown tour queen tiara nursery",
        "lifestylehomeandgarden": "kitchen remodel decor garden closet paint furniture porch",
    },
    "health": {
        "nutrition": "vitamins fiber diet sugar calories protein breakfast snack",
        "medical": "vaccine hospital cancer surgeon flu diagnosis clinic symptoms",
        "fitness": "workout running yoga muscle squats trainer marathon cardio",
        "mentalhealth": "anxiety sleep stress therapy burnout mindfulness depression mood",
    },
    "foodanddrink": {
        "recipes": "casserole slow-cooker chicken pasta skillet soup dough roast",
        "restaurantsandnews": "burger menu chain drive-thru chef pizza diner franchise",
        "wines": "vineyard cabernet sommelier pinot bottle cellar vintage tasting",
        "holidayrecipes": "turkey stuffing pie thanksgiving cranberry gravy leftovers cookies",
    },
    "travel": {
        "travelarticle": "passport itinerary landmark road-trip hostel hidden village scenic",
        "flights": "airline runway passengers boeing seat cabin pilot delay",
        "cruises": "deck port captain ship voyage itineraries harbor stateroom",
        "traveltips": "luggage packing booking points upgrade airport visa carry-on",
    },
    "autos": {
        "autosenthusiasts": "horsepower turbo coupe track supercar drift engine corvette",
        "autosnews": "recall factory dealership suv crash-test sedan hybrid union",
        "electric": "battery charger tesla range motor plug-in kilowatt autopilot",
        "classics": "mustang auction restored barn chrome roadster collector vintage-truck",
    },
    "entertainment": {
        "celebrity": "red-carpet divorce engaged paparazzi baby star feud selfie",
        "movies": "box-office sequel trailer director superhero premiere casting reboot",
        "music": "album tour grammy singer concert chart duet guitar",
        "tv": "episode finale season sitcom streaming host spoiler contestant",
    },
    "weather": {
        "weathertopstories": "snow storm arctic cold blizzard temperatures freeze winds",
        "hurricanes": "landfall tropical evacuation surge gulf category coast flooding",
        "wildfires": "blaze acres containment smoke firefighters outage drought evacuees",
        "forecasts": "sunshine showers weekend humidity radar highs fog drizzle",
    },
    "video": {
        "animals": "kitten rescue zoo elephant dog panda shark owl",
        "wonder": "drone timelapse volcano glacier canyon eclipse aurora cave",
        "kids": "toddler school toys playground twins teacher grandpa lemonade",
        "tech": "phone apple app gadget camera laptop console wearable",
    },
    "local": {
        "education": "students superintendent campus tuition teachers district scholarship exam",
        "transit": "subway bus lanes commuters bridge toll detour construction",
        "downtown": "mayor council zoning mural library market festival parade",
        "nature": "trail park river bears wildlife hikers lake forest",
    },
}
"""The words of every subcategory, by category."""

GIVEN_NAMES = _words(
    "Ada Amir Ana Björn Carla Chloé Dana Diego Elena Emil Fatima Femi Grace Hugo Ines Ivan",
    "Jada Jonas Kofi Lena Luca Mei Milan Nadia Noah Omar Priya Rosa Sam Siân Tariq Uma Vera",
    "Yusuf Zoë",
)
FAMILY_NAMES = _words(
    "Abbott Alvarez Bauer Bennett Castro Chen Dalton Dubois Eriksen Fischer Garcia Grant",
    "Hughes Ibáñez Jansen Kaya Keller Lindqvist Lopez Marsh Müller Nakamura Novak O'Brien",
    "Okafor Park Quinn Reyes Rossi Sato Silva Sørensen Tanaka Turner Vance Walsh Weber Yilmaz",
    "Zhang",
)
PLACE_STEMS = _words(
    "Ash Bay Brook Cedar Clear East Elm Fair Glen Green Hart High Lake Maple Mill New North",
    "Oak Port Red River Rock Salt South Spring Stone West White Wind Winter",
)
PLACE_ENDS = _words(
    "burg ton ville field ford haven land mouth port side view wick wood dale",
)
GROUP_STEMS = _words(
    "Apex Atlas Beacon Cobalt Delta Falcon Harbor Iron Liberty Nova Orion Summit",
)
GROUP_ENDS = _words(
    "Airlines Bank Brewing Foods Health Institute Motors Museum Network Records Studios",
    "Systems United University",
)

ABOUT = (
    "{e} {v} after {a} {b}",
    "{e}'s {a} {v} as {b} {c} looms",
    "Why {e} {v} the {a}",
    "{a} and {b}: what {e} said about the {c}",
    "{e} and {f} clash over {a} {b}",
    "{f}: {e} {v} {a}",
    "Report: {e} {v} in {a} {b}",
)
"""Titles about an entity e (and another, f) in a topic's words a, b, c, with any verb v."""

PLAIN = (
    "{a} {b}: {n} things to know",
    "The best {a} for your {b}",
    "How {a} changed the {b}",
    "{n} {a} tips that make {b} easier",
    "Is the {a} {b} over?",
    "{a}, {b} and a {c}",
)
VERBS = _words(
    "wins backs faces loses reveals defends rejects joins leaves praises eyes delays",
)
SENTENCES = (
    "The {a} and the {b} were the talk of the week.",
    "Officials say the {a} could affect the {b}.",
    "Here is what the {c} means for {a}.",
    "{e} spoke about the {a} on {d}.",
    "Fans of {e} saw a {b} nobody expected.",
    "Nobody knows yet how {a} and {c} will end.",
)
DAYS = _words(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
)
ODD = ('"{}"', "“{}”", "{} — live", "{} …", "'{}'", "{} (¿qué?)", "{} \U0001f4f0", "& {}", "{} #1")
"""What a few titles look like: quotes of all sorts, dashes, other scripts."""

"""Hand-written word lists: abbreviations, names of activities, tools, places, employers."""


def _words(*lines: str, between: str = " ") -> list[str]:
    return [word for line in lines for word in line.split(between)]


def _pairs(*lines: str) -> dict[str, str]:
    return {long: other for long, _, other in (w.partition("=") for w in _words(*lines))}


# Levels 0 entry, 1 mid, 2 senior, 3 lead: as employers print them, and as members type them.
TITLE_LEVELS = (
    ("Junior {}", "Entry Level {}", "{} I", "{} Trainee"),
    ("{}", "{}", "{}", "{} II"),
    ("Senior {}", "Sr {}", "{} III", "Senior {}"),
    ("Lead {}", "Principal {}", "Head {}", "Lead {}"),
)
QUERY_LEVELS = (("entry level", "jr"), ("", ""), ("senior", "sr"), ("lead", "lead"))
LEVEL_WORDS = frozenset(
    _words(
        "senior junior lead chief principal head intern internship assistant associate deputy vp",
        "vice president executive apprentice staff entry level sr jr i ii iii certified licensed",
        "registered trainee helper director supervisor general professional member regional global",
        "team leader and of or the in for to up on at by with",
    )
)

ABBREVIATIONS = _pairs(
    "administrator=admin analyst=anlyst assistant=asst consultant=consult coordinator=coord",
    "developer=dev engineer=eng engineering=eng executive=exec instructor=instr manager=mgr",
    "management=mgmt mechanic=mech operator=op operations=ops professor=prof",
    "representative=rep specialist=spec technician=tech technology=tech technical=tech",
    "software=sw systems=sys system=sys marketing=mktg manufacturing=mfg maintenance=maint",
    "accounting=acctg account=acct business=biz development=dev customer=cust service=svc",
    "services=svc production=prod project=proj program=prog quality=qa mechanical=mech",
    "electrical=elec information=info application=app database=db research=r&d",
    "medical=med laboratory=lab education=edu university=univ department=dept",
    "international=intl commercial=comm financial=fin government=govt security=sec",
    "environmental=env industrial=ind equipment=equip transportation=transp",
    "architect=arch inspector=insp attendant=attn practitioner=pract nurse=rn driver=drvr",
)
ACTIVITIES = _pairs(
    "administrator=administration advisor=advising agent=services analyst=analysis",
    "architect=architecture assembler=assembly attendant=care clerk=processing",
    "consultant=consulting coordinator=coordination counselor=counseling designer=design",
    "developer=development director=leadership driver=driving engineer=engineering",
    "examiner=examination inspector=inspection installer=installation instructor=training",
    "maker=making manager=management mechanic=repair nurse=nursing officer=compliance",
    "operator=operation planner=planning practitioner=practice processor=processing",
    "professor=lecturing programmer=programming provider=care repairer=repair",
    "representative=sales scientist=science setter=setup specialist=support",
    "supervisor=supervision teacher=teaching technician=maintenance technologist=technology",
    "tender=tending tester=testing therapist=therapy worker=work writer=writing",
)
DEFAULT_ACTIVITY = "services"

# A family names what its occupations' words look like, its industries, and its tools.
FAMILIES: dict[str, tuple[str, str, str]] = {
    "technology": (
        "software web java data systems system network security sap oracle sql net linux php ui "
        "application applications database programmer developer cloud mobile it information "
        "computer technology enterprise solutions solution architect automation intelligence",
        "software|internet",
        "python|sql|java|javascript|aws|kubernetes|spark|tableau|react|azure|terraform|c++|scala|"
        "git|machine learning|hadoop|docker|power bi|jira|golang",
    ),
    "health": (
        "health medical clinical nurse patient care pharmacy therapist therapy physical "
        "occupational dental laboratory lab hospice mental surgical physician practitioner aide",
        "hospitals|biotech",
        "epic|bls|cpr|phlebotomy|emr|triage|icd 10|acls|telemetry|hipaa|home care",
    ),
    "finance": (
        "financial accounting accounts account credit loan insurance risk tax compensation claims "
        "compliance business management corporate legal law branch examiner",
        "banking|insurance",
        "excel|quickbooks|sox|gaap|bloomberg|vba|underwriting|reconciliation|sage|xero|ifrs|peachtree",
    ),
    "commerce": (
        "sales marketing customer retail store client relations communications media product "
        "merchandiser representative account advertising brand community rental order",
        "retail|advertising",
        "salesforce|seo|hubspot|google ads|copywriting|crm|cold calling|shopify|pos|"
        "negotiation|social media",
    ),
    "engineering": (
        "engineer engineering mechanical electrical design process test quality project product "
        "research technologist drafter energy field",
        "aerospace|energy",
        "autocad|solidworks|matlab|six sigma|plc|catia|labview|fea|gd&t|scada|revit|ansys",
    ),
    "manufacturing": (
        "machine press mill saw furnace plant operator tender assembler setter feeder cutter drill "
        "lathe roll tank kiln production manufacturing line factory metal maker mixer grinder "
        "drier box frame repairer equipment mechanic maintenance",
        "machinery|automotive",
        "cnc|forklift|welding|blueprint reading|lean|5s|osha|hydraulics|calipers|soldering|kaizen",
    ),
    "education": (
        "teacher school education professor instructor science department program counselor social "
        "training elementary adjunct chair tutor librarian",
        "schools|nonprofit",
        "lesson planning|canvas|esl|iep|classroom management|google classroom|curriculum|moodle|"
        "grant writing|montessori|stem|case notes",
    ),
    "services": (
        "truck driver delivery bus police officer room hotel restaurant attendant worker office "
        "farm car aircraft crane boat service operations support food fire property clerk",
        "logistics|hospitality",
        "cdl|microsoft office|scheduling|dispatch|first aid|food safety|route planning|"
        "inventory|data entry|hazmat|typing",
    ),
}
COMPANY_WORDS = _words(
    "Alder Amber Anchor Apex Arbor Atlas Aurora Beacon Birch Bluebird Bright Cardinal Cascade",
    "Cedar Cobalt Compass Copper Coral Crescent Crystal Delta Eagle Echo Ember Evergreen Falcon",
    "Fern Frontier Garnet Golden Granite Grove Harbor Hawthorn Hazel Heron Highland Horizon",
    "Indigo Iron Ivory Jade Juniper Keystone Lakeside Lantern Laurel Liberty Lighthouse Linden",
    "Magnolia Maple Meridian Mesa Mosaic North Northwind Oak Onyx Opal Orchard Osprey Pacific",
    "Paragon Pearl Pine Pioneer Prairie Quartz Raven Redwood Ridge River Sage Sapphire Sequoia",
    "Sierra Silver Slate Solstice Spruce Sterling Summit Sycamore Tidewater Timber Topaz Union",
    "Valley Vista Westbrook Willow Wren Zenith",
)
COMPANY_SUFFIXES = {
    "software": "Software Labs Systems Cloud",
    "internet": "Digital Online Networks Interactive",
    "hospitals": "Health Medical Clinics Care",
    "biotech": "Biosciences Therapeutics Genomics Pharma",
    "banking": "Bank Capital Financial Partners",
    "insurance": "Insurance Assurance Mutual Underwriters",
    "retail": "Stores Outfitters Market Goods",
    "advertising": "Media Agency Creative Brands",
    "aerospace": "Aerospace Aviation Dynamics Defense",
    "energy": "Energy Power Renewables Petroleum",
    "machinery": "Manufacturing Machine Works Tooling",
    "automotive": "Motors Automotive Components Fabrication",
    "schools": "Academy Schools College Learning",
    "nonprofit": "Foundation Alliance Trust Outreach",
    "logistics": "Freight Logistics Transport Express",
    "hospitality": "Hotels Resorts Catering Hospitality",
}
COMPANY_FORMS = ("", " Inc", " LLC", " Group", " Holdings")
CITIES = _words(
    "new york,los angeles,chicago,houston,phoenix,philadelphia,san antonio,san diego,dallas",
    "san jose,austin,jacksonville,columbus,charlotte,indianapolis,seattle,denver,boston,detroit",
    "nashville,portland,memphis,oklahoma city,las vegas,louisville,baltimore,milwaukee,tucson",
    "sacramento,atlanta,miami,raleigh,omaha,oakland,minneapolis,tampa,new orleans,cleveland",
    "pittsburgh,cincinnati",
    between=",",
)
REMOTE = "remote"
QUERY_EXTRAS = ("remote", "part time", "jobs", "near me", "contract", "full time")

//! The rooms of core/broker: each names those below it that it uses, and what it says of the state in [`Broker`] stands in its own types.
//!
//! An arrow is a name that is imported, a method that is called, the broker's or that of a type, or a field of the broker that is touched,
//! where that belongs to another room. Whatever points elsewhere than the table says fails here, and so does a table with a circle. Fields
//! of other types are the compiler's to hold: what is not to be touched from above is private to its room.

use super::{code, files, relative, root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const SOURCE: &str = "core/broker/src/";

/// The state itself, which each room adds its verbs to.
const STATE: &str = "Broker";

/// A room: its folder or files, and the rooms that it may use.
struct Room {
    name: &'static str,
    places: &'static [&'static str],
    uses: &'static [&'static str],
}

const fn room(name: &'static str, places: &'static [&'static str], uses: &'static [&'static str]) -> Room {
    Room { name, places, uses }
}

/// From the bottom to the top. The same table stands in docs/ARCHITECTURE.md.
const ROOMS: &[Room] = &[
    room("kit", &["kit"], &[]),
    room("selector", &["selector"], &[]),
    room("ground", &["messages", "log", "outbox", "config", "plant", "statistics", "step", "bounds", "jobs"], &["kit"]),
    room("records", &["records"], &["kit", "ground"]),
    room("destinations", &["destinations"], &["kit", "selector", "ground", "records"]),
    room("durable", &["durable"], &["kit", "ground", "records", "destinations"]),
    room("space", &["space"], &["ground", "records", "destinations", "durable"]),
    room("clients", &["clients"], &["kit", "selector", "ground", "records", "destinations", "durable"]),
    room("wildcards", &["wildcards"], &["kit", "ground", "destinations", "durable", "clients"]),
    room(
        "settle",
        &["settle"],
        &["kit", "ground", "records", "destinations", "durable", "space", "clients", "wildcards"],
    ),
    room(
        "delivery",
        &["delivery"],
        &["kit", "ground", "records", "destinations", "durable", "space", "clients", "wildcards", "settle"],
    ),
    room(
        "intake",
        &["intake"],
        &["kit", "ground", "records", "destinations", "durable", "space", "clients", "wildcards"],
    ),
    room(
        "transaction",
        &["transaction"],
        &["ground", "records", "destinations", "durable", "space", "clients", "settle", "intake"],
    ),
    room(
        "lifecycle",
        &["lifecycle"],
        &[
            "kit",
            "selector",
            "ground",
            "records",
            "destinations",
            "durable",
            "clients",
            "wildcards",
            "settle",
            "delivery",
            "intake",
            "transaction",
        ],
    ),
    room(
        "root",
        &["lib", "broker", "turn", "slices"],
        &[
            "kit",
            "ground",
            "records",
            "destinations",
            "durable",
            "space",
            "clients",
            "wildcards",
            "settle",
            "delivery",
            "intake",
            "transaction",
            "lifecycle",
        ],
    ),
];

/// The room of a source file, by its path below [`SOURCE`] without extension.
fn room_of(rooms: &[Room], path: &str) -> Option<&'static str> {
    let is_here = |place: &&str| *place == path || path.strip_prefix(*place).is_some_and(|rest| rest.starts_with('/'));
    rooms.iter().find(|room| room.places.iter().any(is_here)).map(|room| room.name)
}

/// A file's code: without comments, and without its tests at the end. What follows a dot stands right behind it.
fn code_of(source: &str) -> String {
    let mut text = String::new();
    for line in source.lines().take_while(|line| *line != "#[cfg(test)]").map(code) {
        if line.trim_start().starts_with('.') {
            text.truncate(text.trim_end().len());
            text.push_str(line.trim_start());
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn first_name(text: &str) -> &str {
    text.split(|letter| !is_name(letter)).next().unwrap_or_default()
}

/// Paths within the crate that a text names, each as its parts; braces are taken apart.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("crate::") {
        if text[..start].ends_with(is_name) {
            continue;
        }
        let rest = &text[start + "crate::".len()..];
        let end = rest.find(|letter| !is_name(letter) && letter != ':').unwrap_or(rest.len());
        let path = rest[..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        if rest[end..].starts_with('{') {
            let list = rest[end + 1..].split('}').next().unwrap_or_default();
            for name in list.split(',').map(|name| first_name(name.trim())).filter(|name| !name.is_empty()) {
                found.push(path.iter().cloned().chain([name.to_owned()]).collect());
            }
        } else {
            found.push(path);
        }
    }
    found
}

/// What stands in `impl` blocks with such a first line.
fn blocks_of(text: &str, is_head: impl Fn(&str) -> bool) -> Vec<&str> {
    let heads = text.match_indices("impl").filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    let found = heads.filter_map(|(at, _)| text[at..].split_once('\n').filter(|(head, _)| is_head(head)));
    found.map(|(_, block)| block.split("\n}").next().unwrap_or_default()).collect()
}

/// What stands in `impl` blocks of a type.
fn blocks<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!("impl {name} {{");
    blocks_of(text, |head| head == begin)
}

/// What stands in `impl` blocks of any type, but for traits.
fn all_blocks(text: &str) -> Vec<&str> {
    blocks_of(text, |head| !head.contains(" for ") && head.ends_with('{'))
}

/// Methods that stand in such a block.
fn methods(block: &str) -> Vec<&str> {
    let heads = block.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    heads.filter_map(|line| Some(first_name(line.split_once("fn ")?.1))).collect()
}

/// Whether a name is called behind which this stands.
fn is_called(behind: &str) -> bool {
    behind.starts_with('(') || behind.starts_with("::<")
}

/// Names behind a dot that are called.
fn calls(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('.').filter_map(|(at, _)| {
        let name = first_name(&text[at + 1..]);
        (!name.is_empty() && is_called(&text[at + 1 + name.len()..])).then_some(name)
    })
}

/// Names behind `self.` and the like: those that are called, and those that are not.
fn used(block: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut called, mut touched) = (Vec::new(), Vec::new());
    for owner in ["self.", "broker.", "Broker::"] {
        for (at, _) in block.match_indices(owner) {
            if block[..at].ends_with(|letter| is_name(letter) || letter == '.') {
                continue;
            }
            let name = first_name(&block[at + owner.len()..]);
            match is_called(&block[at + owner.len() + name.len()..]) {
                true => called.push(name),
                false => touched.push(name),
            }
        }
    }
    (called, touched)
}

/// The files of a crate by their path, as code.
type Sources = BTreeMap<String, String>;

/// The rooms of the methods of the state, and of its fields.
fn owners(rooms: &[Room], sources: &Sources) -> (BTreeMap<String, &'static str>, BTreeMap<String, &'static str>) {
    let (mut of_method, mut of_field) = (BTreeMap::new(), BTreeMap::new());
    for (path, text) in sources {
        let Some(room) = room_of(rooms, path) else { continue };
        for block in blocks(text, STATE) {
            of_method.extend(methods(block).into_iter().map(|method| (method.to_owned(), room)));
        }
        let Some((_, fields)) = text.split_once(&format!("struct {STATE} {{\n")) else { continue };
        let of_type: BTreeMap<String, &'static str> = paths(text)
            .into_iter()
            .filter_map(|path| Some((path.last()?.clone(), room_of(rooms, &path[..path.len() - 1].join("/"))?)))
            .collect();
        for line in fields.split("\n}").next().unwrap_or_default().lines() {
            let Some((name, kind)) = line.split_once(": ") else { continue };
            // A collection is what it holds.
            let mut named = kind.split(|letter| !is_name(letter)).filter_map(|name| of_type.get(name).copied());
            if let Some(owner) = named.find(|room| *room != "kit") {
                of_field.insert(name.rsplit(' ').next().unwrap_or_default().to_owned(), owner);
            }
        }
    }
    (of_method, of_field)
}

/// Methods that one room alone has, of whatever type: who calls one of them uses that room, however it came by the value.
fn of_one_room(rooms: &[Room], sources: &Sources) -> BTreeMap<String, &'static str> {
    let mut having: BTreeMap<&str, BTreeSet<&'static str>> = BTreeMap::new();
    for (path, text) in sources {
        let Some(room) = room_of(rooms, path) else { continue };
        for method in all_blocks(text).into_iter().flat_map(methods).filter(|name| !STANDARD.contains(name)) {
            having.entry(method).or_default().insert(room);
        }
    }
    let alone = having.into_iter().filter(|(_, rooms)| rooms.len() == 1);
    alone.filter_map(|(name, rooms)| Some((name.to_owned(), rooms.into_iter().next()?))).collect()
}

/// Methods that types of the standard library have as well.
const STANDARD: &[&str] = &["all", "as_slice", "count", "extend", "last", "range", "replace", "set"];

/// All arrows between rooms, each with what draws it.
fn arrows(rooms: &[Room], sources: &Sources) -> BTreeMap<(&'static str, &'static str), BTreeSet<String>> {
    let (of_method, of_field) = owners(rooms, sources);
    let of_one_room = of_one_room(rooms, sources);
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in sources {
        let Some(from) = room_of(rooms, file) else { continue };
        let mut draw = |to: Option<&&'static str>, what: String| {
            if let Some(to) = to.filter(|to| **to != from) {
                found.entry((from, *to)).or_default().insert(what);
            }
        };
        for path in paths(text).iter().filter(|path| path.last().is_none_or(|name| name != STATE)) {
            let room = (1..=path.len()).find_map(|parts| room_of(rooms, &path[..parts].join("/")));
            draw(room.as_ref(), format!("{file} names {}", path.join("::")));
        }
        calls(text).for_each(|name| draw(of_one_room.get(name), format!("{file} calls {name}()")));
        for block in blocks(text, STATE) {
            let (called, touched) = used(block);
            called.iter().for_each(|name| draw(of_method.get(*name), format!("{file} calls {name}()")));
            touched.iter().for_each(|name| draw(of_field.get(*name), format!("{file} touches {name}")));
        }
    }
    found
}

/// A circle of the rooms, if there is one.
fn circle(rooms: &[Room]) -> Option<Vec<&'static str>> {
    let mut left: Vec<&Room> = rooms.iter().collect();
    while let Some(at) =
        left.iter().position(|room| !room.uses.iter().any(|used| left.iter().any(|of| of.name == *used)))
    {
        left.remove(at);
    }
    (!left.is_empty()).then(|| left.iter().map(|room| room.name).collect())
}

/// Methods of a type of another room: they belong there.
fn strays(rooms: &[Room], sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources {
        for path in paths(text) {
            let Some(name) = path.last().filter(|name| *name != STATE) else { continue };
            let foreign = room_of(rooms, &path[..path.len() - 1].join("/")) != room_of(rooms, file);
            if foreign && !blocks(text, name).is_empty() {
                found.push(format!("{file} has methods of {}", path.join("::")));
            }
        }
    }
    found
}

fn sources() -> Sources {
    let mut found = Sources::new();
    for path in files("rs") {
        let name = relative(&path);
        let Some(name) = name.strip_prefix(SOURCE).and_then(|name| name.strip_suffix(".rs")) else { continue };
        if !name.ends_with("/tests") {
            let name = name.strip_suffix("/mod").unwrap_or(name);
            found.insert(name.to_owned(), code_of(&fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[test]
fn each_file_of_the_broker_is_in_a_room() {
    let outside: Vec<String> = sources().into_keys().filter(|path| room_of(ROOMS, path).is_none()).collect();
    assert!(outside.is_empty(), "files of {SOURCE} that no room has: {outside:?}");
    assert_eq!(circle(ROOMS), None, "rooms in a circle");
}

#[test]
fn rooms_point_where_the_architecture_says() {
    let arrows = arrows(ROOMS, &sources());
    let mut wrong = Vec::new();
    for ((from, to), drawn) in &arrows {
        let allowed = ROOMS.iter().any(|room| room.name == *from && room.uses.contains(to));
        if !allowed {
            wrong.push(format!("{from} -> {to}: {drawn:#?}"));
        }
    }
    assert!(wrong.is_empty(), "arrows that the table of rooms does not have: {}", wrong.join("\n"));
    let unused = |room: &&Room| room.uses.iter().any(|used| !arrows.contains_key(&(room.name, *used)));
    let unused: Vec<&str> = ROOMS.iter().filter(unused).map(|room| room.name).collect();
    assert!(unused.is_empty(), "rooms with arrows that nothing draws: {unused:?}");
}

#[test]
fn methods_of_a_type_stand_in_its_room() {
    let strays = strays(ROOMS, &sources());
    assert!(strays.is_empty(), "{strays:#?}");
}

#[test]
fn what_the_broker_keeps_belongs_to_rooms() {
    let sources = sources();
    let (_, of_field) = owners(ROOMS, &sources);
    let (_, fields) = sources["broker"].split_once("pub struct Broker {\n").unwrap();
    let fields = fields.split("\n}").next().unwrap().lines().filter_map(|line| line.split_once(": "));
    let names = fields.map(|(name, _)| name.rsplit(' ').next().unwrap_or_default());
    let stray: Vec<&str> = names.filter(|name| !of_field.contains_key(*name) && !PLAIN.contains(name)).collect();
    assert!(stray.is_empty(), "fields of the broker whose types are of no room: {stray:?}");
}

/// What all rooms use: how tables are hashed.
const PLAIN: &[&str] = &["hasher"];

#[test]
fn the_map_has_the_same_rooms() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let (_, table) = map.split_once("| room | owns | uses |\n").expect("docs/ARCHITECTURE.md has a table of rooms");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let told: Vec<(Vec<String>, Vec<String>)> =
        rows.map(|row| row.split('|').collect::<Vec<_>>()).map(|cells| (names(cells[1]), names(cells[3]))).collect();
    let known: Vec<(Vec<String>, Vec<String>)> = ROOMS
        .iter()
        .map(|room| (vec![room.name.to_owned()], room.uses.iter().map(|used| (*used).to_owned()).collect()))
        .collect();
    assert_eq!(told, known, "the table of rooms in docs/ARCHITECTURE.md is not the one of this test");
}

/// A broker of two rooms and its top.
fn sample(low: &str) -> (Vec<Room>, Sources) {
    let rooms =
        vec![room("low", &["low"], &[]), room("high", &["high"], &["low"]), room("top", &["broker"], &["low", "high"])];
    let broker = "use crate::low::list::List;\nuse crate::high::Desk;\npub struct Broker {\n    list: List,\n    desk: Vec<Desk>,\n}\n";
    let high = "use crate::broker::Broker;\nuse crate::low::{self, list::List};\npub struct Desk;\nimpl Desk {\n    pub fn \
                polish(&self) {}\n    pub fn last(&self) {}\n}\nimpl Broker {\n    \
                pub fn sit(&mut self) {\n        self.add();\n        self.list.len();\n    }\n}\n";
    let sources = [("broker", broker), ("high", high), ("low/list", low)];
    (rooms, sources.into_iter().map(|(path, text)| (path.to_owned(), code_of(text))).collect())
}

#[test]
fn a_wrong_arrow_between_rooms_is_seen() {
    const RIGHT: &str = "use crate::broker::Broker;\nimpl Broker {\n    fn add(&mut self) {}\n}\n";
    let drawn = |low: &str| {
        let (rooms, sources) = sample(low);
        let drawn = arrows(&rooms, &sources).remove(&("low", "high")).unwrap_or_default();
        drawn.into_iter().chain(strays(&rooms, &sources)).collect::<Vec<_>>()
    };
    assert!(drawn(RIGHT).is_empty());
    assert_eq!(drawn("use crate::high::{Desk, more};\n"), ["low/list names high::Desk", "low/list names high::more"]);
    assert_eq!(
        drawn("impl Broker {\n    fn add(&mut self) {\n        // self.seat()\n        self.sit();\n    }\n}\n"),
        ["low/list calls sit()"]
    );
    assert_eq!(
        drawn(
            "impl Broker {\n    fn add(&mut self) {\n        self\n            .desk\n            .len();\n    }\n}\n"
        ),
        ["low/list touches desk"]
    );
    assert_eq!(
        drawn("fn a(broker: &mut Broker) {}\nimpl Broker {\n    fn add() {\n        Broker::sit();\n    }\n}\n").len(),
        1
    );
    let own = "impl Lower {\n    fn sit(&self) {}\n    fn add(&self) {\n        self.sit();\n    }\n}\n";
    assert!(drawn(own).is_empty(), "it has a method of that name itself");
    let handed = |call: &str| drawn(&format!("fn add(given: impl Given) {{\n    given.value().{call}();\n}}\n"));
    assert_eq!(handed("polish"), ["low/list calls polish()"]);
    assert!(handed("last").is_empty(), "anybody's");
    assert!(drawn("#[cfg(test)]\nmod tests {\n    use crate::high::Desk;\n}\n").is_empty());
    assert_eq!(
        drawn("use crate::high::Desk;\nimpl Desk {\n    fn stand(&self) {}\n}\n"),
        ["low/list names high::Desk", "low/list has methods of high::Desk"]
    );
}

#[test]
fn a_circle_of_rooms_is_seen() {
    let (mut rooms, _) = sample("");
    assert_eq!(circle(&rooms), None);
    rooms[0].uses = &["top"];
    assert_eq!(circle(&rooms), Some(vec!["low", "high", "top"]));
}

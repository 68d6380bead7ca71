//! Holds the plan of the house: which crate may use which, and who may touch sockets, clocks, dice and stores.
//!
//! The tables are read from top to bottom as ARCHITECTURE.md tells them. A finding names the file, the line and the
//! rule. What must be allowed in spite of a rule stands in [`EXCEPTIONS`] with its reason; one that nobody needs any
//! more is a finding, too.

mod planted;
mod scan;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// From which of our crates each may take. `tests` stands above all, `bench` beside it.
const ARROWS: &[(&str, &[&str])] = &[
    ("faults", &[]),
    ("xmpp-core", &[]),
    ("roster-store", &["faults", "xmpp-core"]),
    ("router", &["faults", "xmpp-core"]),
    ("script", &["xmpp-core"]),
    ("net", &["xmpp-core"]),
    ("program", &[]),
    ("modules", &["faults", "xmpp-core", "router", "roster-store"]),
    ("c2s", &["faults", "xmpp-core", "router", "net", "roster-store"]),
    ("s2s", &["faults", "xmpp-core", "router", "net"]),
    ("bosh-cm", &["faults", "xmpp-core", "net", "program"]),
    (
        "server",
        &[
            "faults",
            "xmpp-core",
            "roster-store",
            "router",
            "modules",
            "script",
            "net",
            "program",
            "c2s",
            "s2s",
            "bosh-cm",
        ],
    ),
    ("bench", &["xmpp-core", "roster-store", "net"]),
    (
        "tests",
        &[
            "xmpp-core",
            "roster-store",
            "router",
            "modules",
            "script",
            "net",
            "program",
            "c2s",
            "s2s",
            "bosh-cm",
            "server",
        ],
    ),
    (
        "instructions",
        &["xmpp-core", "roster-store", "router", "modules", "net", "bosh-cm", "server"],
    ),
];

/// Crates that know no runtime, not even through what they depend on.
const PURE: &[&str] = &["xmpp-core", "router", "modules", "script"];

/// What no pure crate may reach.
const RUNTIME: &[&str] = &["tokio", "hyper", "rustls", "tokio-rustls", "async-std", "smol", "mio"];

/// Sockets, TLS and HTTP.
const SOCKETS: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "rustls",
    "tokio_rustls",
    "tokio_util",
    "socket2",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
];
/// Whatever tells the time.
const CLOCKS: &[&str] =
    &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", ".elapsed", "tokio::time"];
/// Whatever throws dice.
const DICE: &[&str] =
    &["rand::", "rand", "getrandom", "net::random", "random::token", "random::fill", "thread_rng"];
/// Databases.
const DATABASES: &[&str] = &["rusqlite", "sqlite3"];
/// Files.
const FILES: &[&str] = &["std::fs", "fs::File", "File::open", "tokio::fs"];

/// A set of files, and what must not be mentioned in them.
struct Rule {
    name: &'static str,
    /// Does it hold for this file? `krate` is the folder of the crate, `path` stands below it.
    holds: fn(krate: &str, path: &Path) -> bool,
    forbidden: &'static [&'static [&'static str]],
}

const RULES: &[Rule] = &[
    Rule {
        name: "the words, the law, the features and the scripts know no socket, clock, dice or file",
        holds: |krate, _| PURE.contains(&krate),
        forbidden: &[SOCKETS, CLOCKS, DICE, DATABASES, FILES],
    },
    Rule {
        name: "a session is a value: no socket, clock, dice, store, file or await",
        holds: |krate, path| {
            let session = path.starts_with("src/session");
            let websocket = path.starts_with("src/websocket") && !is_driver(path);
            matches!(krate, "c2s" | "s2s" | "bosh-cm") && (session || websocket)
        },
        forbidden: &[
            SOCKETS,
            CLOCKS,
            DICE,
            DATABASES,
            FILES,
            &["async", ".await", "roster_store", "net", "Future"],
        ],
    },
    Rule {
        name: "only net and files named driver, listener, http, upstream or main touch sockets, clocks and dice",
        holds: |krate, path| matches!(krate, "c2s" | "s2s" | "bosh-cm") && !is_driver(path),
        forbidden: &[SOCKETS, CLOCKS, DICE],
    },
    Rule {
        // The rest of `server` wires all rooms together: it is the one place that may see everything.
        name: "a configuration is read and checked without sockets, clocks and dice",
        holds: |krate, path| krate == "server" && path.starts_with("src/config"),
        forbidden: &[SOCKETS, CLOCKS, DICE],
    },
    Rule {
        name: "only the store knows its database",
        holds: |krate, _| krate != "roster-store",
        forbidden: &[DATABASES],
    },
    Rule {
        name: "the store knows no socket",
        holds: |krate, _| krate == "roster-store",
        forbidden: &[SOCKETS],
    },
    Rule {
        name: "a door sees the accounts and the sessions of the store, nothing else of it",
        holds: |krate, _| krate == "c2s",
        forbidden: &[&[
            "Rosters",
            "Offline",
            "Store",
            "roster_store::sqlite",
            "roster_store::memory",
        ]],
    },
    Rule {
        name: "features see the traits of the store, not a backend",
        holds: |krate, _| krate == "modules",
        forbidden: &[&["roster_store::sqlite", "roster_store::memory", "Sqlite", "Memory"]],
    },
];

/// `(file, word, reason)`: allowed although a rule forbids it.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

fn is_driver(path: &Path) -> bool {
    const NAMES: [&str; 5] = ["driver", "listener", "http", "upstream", "main"];
    path.iter().any(|part| {
        let name = part.to_string_lossy();
        NAMES.contains(&name.strip_suffix(".rs").unwrap_or(&name))
    })
}

/// A file of the product: the folder of its crate, its path below that, its text.
struct Source {
    krate: String,
    path: PathBuf,
    text: String,
}

impl Source {
    fn name(&self) -> String {
        format!("{}/{}", self.krate, self.path.display())
    }
}

/// Every finding of every rule in one file; the words that it found go to `used`, as `(file, word)`.
fn findings(source: &Source, used: &mut BTreeSet<(String, &'static str)>) -> Vec<String> {
    let code = scan::strip(&source.text);
    let name = source.name();
    let mut findings = Vec::new();
    for rule in RULES.iter().filter(|rule| (rule.holds)(&source.krate, &source.path)) {
        for words in rule.forbidden {
            for (line, word) in scan::find(&code, words) {
                let exception = EXCEPTIONS.iter().find(|(file, w, _)| *file == name && *w == word);
                if let Some((_, word, _)) = exception {
                    used.insert((name.clone(), word));
                } else {
                    let found = line.code.trim();
                    findings.push(format!(
                        "{name}:{}: `{word}` in `{found}`: {}",
                        line.number, rule.name
                    ));
                }
            }
        }
    }
    findings
}

#[test]
fn nobody_mentions_what_is_not_theirs() {
    let mut used = BTreeSet::new();
    let mut all: Vec<_> = sources().iter().flat_map(|s| findings(s, &mut used)).collect();
    let unused = EXCEPTIONS
        .iter()
        .filter(|(file, word, _)| !used.iter().any(|(f, w)| f == file && w == word));
    all.extend(
        unused.map(|(file, word, _)| format!("{file}: the exception for `{word}` is not needed")),
    );
    all.dedup();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn arrows_point_downwards() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let wrong = wrong_arrows(
        packages.iter().map(|package| (package.name.as_str(), ours(&metadata, package))),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What lets the process die and fail on purpose is in no program that people run: it is one feature, that nothing of ours
/// asks for but a feature of `server`, with which its program cannot be built.
#[test]
fn faults_are_armed_for_tests_only() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|d| d.name == "faults") {
            assert!(dependency.features.is_empty(), "{} arms the faults", package.name);
        }
        for (feature, enables) in &package.features {
            let arms = enables.iter().any(|other| other == "faults/armed");
            let may = (package.name.as_str(), feature.as_str()) == ("server", "faults");
            assert!(!arms || may, "{}/{feature} arms the faults", package.name);
            let unasked = enables.iter().any(|other| feature == "default" && other != "mimalloc");
            assert!(!unasked, "{}: whoever builds it gets {enables:?}", package.name);
        }
    }
    let program = fs::read_to_string(root().join("server/src/main.rs")).expect("the program");
    assert!(program.contains("#[cfg(feature = \"faults\")]\ncompile_error!"));
}

#[test]
fn pure_crates_reach_no_runtime() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("metadata was asked for with its graph");
    let edges: BTreeMap<_, Vec<_>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            (&node.id, normal.map(|dependency| &dependency.pkg).collect())
        })
        .collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages().iter().filter(|p| PURE.contains(&p.name.as_str()))
    {
        let mut reached = BTreeSet::new();
        let mut next = vec![&package.id];
        while let Some(id) = next.pop() {
            if reached.insert(id) {
                next.extend(edges.get(id).into_iter().flatten());
            }
        }
        let names = reached.iter().map(|id| metadata[id].name.as_str());
        let runtimes = names.filter(|name| RUNTIME.contains(name));
        wrong.extend(runtimes.map(|name| format!("{} reaches {name}", package.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources().iter().filter_map(too_long).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue }; // an image, say
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(place) = place(line) {
                let file = file.strip_prefix(&root).unwrap_or(&file);
                wrong.push(format!("{}:{number}: {place}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The dependencies of a package on other packages of the workspace, tests' dependencies not counted.
fn ours(metadata: &Metadata, package: &Package) -> Vec<String> {
    let members: Vec<_> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let normal = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
    normal.map(|d| d.name.clone()).filter(|name| members.contains(name)).collect()
}

fn wrong_arrows<'a>(packages: impl Iterator<Item = (&'a str, Vec<String>)>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, dependencies) in packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            wrong.push(format!("{name} has no row in the table of arrows"));
            continue;
        };
        let bad = dependencies.iter().filter(|d| !allowed.contains(&d.as_str()));
        wrong.extend(bad.map(|dependency| format!("{name} may not use {dependency}")));
    }
    wrong
}

/// More than 1,000 lines never; more than 600 with a reason in the header (`//! Long because …`).
fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    let has_reason = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .any(|line| line.contains("Long because"));
    let name = source.name();
    match lines {
        0..=600 => None,
        601..=1000 if has_reason => None,
        601..=1000 => Some(format!("{name}: {lines} lines and no `//! Long because …`")),
        _ => Some(format!("{name}: {lines} lines")),
    }
}

/// A path that makes sense on one machine only.
fn place(line: &str) -> Option<&'static str> {
    // Put together here, so that this file is none of its own findings.
    const PLACES: [&str; 5] = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/tm", "p/brief"),
        concat!("C:", "\\Users"),
    ];
    PLACES.into_iter().find(|place| {
        // `network/x` and `https://example/work/` are none.
        line.match_indices(place).any(|(at, _)| {
            !line[..at].ends_with(|c: char| {
                c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '/')
            })
        })
    })
}

/// The workspace and its graph on this platform: packages of others may never have been downloaded.
fn metadata() -> Metadata {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("-vV").output().expect("rustc says its version");
    let version = String::from_utf8(version.stdout).expect("rustc writes UTF-8");
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc has a host");
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--offline", "--locked", "--filter-platform", host].map(str::to_owned))
        .exec()
        .expect("cargo knows the workspace")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests stands in the workspace")
        .to_owned()
}

/// The product: every file under `src/` of every member but those below `tests`, files of unit tests left out.
fn sources() -> Vec<Source> {
    let root = root();
    let mut sources = Vec::new();
    for (krate, _) in ARROWS.iter().filter(|(krate, _)| !matches!(*krate, "tests" | "bench")) {
        let base = root.join(krate);
        let mut files = Vec::new();
        collect(&base.join("src"), &mut files);
        for file in files.into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs")) {
            let path = file.strip_prefix(&base).expect("it was found there").to_owned();
            if path.iter().any(|part| part == "tests" || part == "tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source can be read");
            sources.push(Source { krate: (*krate).to_owned(), path, text });
        }
    }
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

/// All files below a folder, without what is built or fetched.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return }; // a crate that is yet to come
    for entry in entries {
        let entry = entry.expect("a folder's entry can be read");
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.')
            || matches!(&*name, "target" | "node_modules" | "corpus" | "artifacts")
        {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

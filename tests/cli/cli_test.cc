// Exit codes, messages and outputs of the real program.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/cli/aster.h"
#include "tests/cli/program.h"

namespace vitrine::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kRoot = VITRINE_SOURCE_DIR;
const std::string kClean = aster::recording("clean");
const std::string kKeystroke = aster::recording("keystroke");

std::vector<std::string> audit_arguments(const std::string& scenario, const std::string& version,
                                         std::vector<std::string> more = {}) {
  std::vector<std::string> out = {"audit",      aster::recording(scenario),
                                  "--service",  "aster",
                                  "--data",     kRoot,
                                  "--context",  aster::kFolder + "/aster-" + scenario + ".audit.yaml",
                                  "--policies", aster::kFolder + "/policies",
                                  "--mmdb",     aster::kFolder + "/aster-test.mmdb",
                                  "--policy",   "aster/" + version,
                                  "--policy",   "aster/cookies"};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

// ---- usage --------------------------------------------------------------------

TEST(Usage, MistakesAreExitCodeTwoAndAreNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "subcommand is required"},
      {{"nonsense"}, "nonsense"},
      {{"audit"}, "input is required"},
      {{"audit", kClean, "--fail-on", "bogus"}, "bogus"},
      {{"audit", kClean, "--platform", "fridge"}, "fridge"},
      {{"audit", kClean, "--no-such-flag"}, "no-such-flag"},
      {{"audit", kClean, "--policy", "nobody/2020"}, "nobody/2020"},
      {{"audit", kClean, "--rules", "no-such-rules"}, "no-such-rules"},
      {{"audit", kClean, "--policies", "/nonexistent/folder"}, "/nonexistent/folder"},
      {{"audit", kClean, "--context", "/nonexistent/audit.yaml"}, "/nonexistent/audit.yaml"},
      {{"audit", kClean, "--data", "/nonexistent"}, "/nonexistent"},
      {{"origin", "twelve", kClean}, "twelve"},
      {{"origin", "1.99:3", kClean}, "1.99:3"},
      {{"policy", "show", "nobody/2020"}, "nobody/2020"},
      {{"policy", "diff", "deepseek"}, "names"},
      {{"policy", "diff", "deepseek", "1999-01-01", "2025-02-14"}, "1999-01-01"},
  };
  for (const auto& [arguments, words] : cases) {
    const Outcome outcome = vitrine(arguments);
    SCOPED_TRACE(arguments.empty() ? "no arguments" : testing::PrintToString(arguments));
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err + outcome.out, HasSubstr(words));
  }
}

TEST(Usage, HelpAndVersionAreNoErrors) {
  for (const std::string command : {"record", "audit", "fields", "exchanges", "origin", "policy"}) {
    const Outcome outcome = vitrine({command, "--help"});
    EXPECT_EQ(outcome.exit_code, 0) << command;
    EXPECT_THAT(outcome.out, HasSubstr("Usage")) << command;
  }
  EXPECT_EQ(vitrine({"--help"}).exit_code, 0);
  EXPECT_THAT(vitrine({"--version"}).out, testing::StartsWith("vitrine "));
}

// ---- inputs that cannot be read --------------------------------------------------

TEST(Unreadable, IsExitCodeThreeWithTheFilesName) {
  const TempFolder folder;
  const std::string empty = folder.write("empty.pcapng", "");
  const std::string prose = folder.write("prose.txt", "This is a letter, not a recording.\n");
  const std::string header = folder.write("header.pcapng", contents(kClean).substr(0, 6));
  for (const std::string& path : {std::string("/nonexistent/visit.pcapng"), empty, prose, header}) {
    for (const std::string command : {"audit", "fields", "exchanges"}) {
      const Outcome outcome = vitrine({command, path});
      EXPECT_EQ(outcome.exit_code, 3) << command << " " << path << outcome.out;
      EXPECT_THAT(outcome.err, HasSubstr(path)) << command;
      EXPECT_THAT(outcome.err, testing::StartsWith("vitrine: "));
    }
    const Outcome origin = vitrine({"origin", "1.1:1", path});
    EXPECT_EQ(origin.exit_code, 3) << path;
  }
}

TEST(Unreadable, OneReadableInputAmongOthersIsEnough) {
  const Outcome outcome = vitrine({"exchanges", "/nonexistent/visit.pcapng", kClean, "--json"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent/visit.pcapng"));
  EXPECT_GT(lines_of(outcome.out).size(), 50u);
}

TEST(Damaged, ATruncatedCaptureIsReadAsFarAsItGoesWithWarnings) {
  const TempFolder folder;
  const std::string whole = contents(kClean);
  const std::string cut = folder.write("cut.pcapng", whole.substr(0, whole.size() * 6 / 10));
  const Outcome fields = vitrine({"fields", cut, "--data", kRoot});
  EXPECT_EQ(fields.exit_code, 0);
  EXPECT_THAT(fields.err, HasSubstr("vitrine: warning: " + cut));
  EXPECT_GT(lines_of(fields.out).size(), 500u);
  const Outcome quiet = vitrine({"fields", cut, "--data", kRoot, "--quiet"});
  EXPECT_EQ(quiet.err, "");
  EXPECT_EQ(quiet.out, fields.out);
  // Warnings become 1 only when asked for.
  EXPECT_EQ(vitrine({"audit", cut, "--data", kRoot, "--fail-on", "never"}).exit_code, 0);
  EXPECT_EQ(vitrine({"audit", cut, "--data", kRoot, "--fail-on", "contradicted"}).exit_code, 0);
  EXPECT_EQ(vitrine({"audit", cut, "--data", kRoot, "--fail-on", "incomplete"}).exit_code, 1);
}

TEST(Damaged, FlippedBytesAnywhereNeverEndTheProgram) {
  const TempFolder folder;
  const std::string whole = contents(kClean);
  for (unsigned seed = 1; seed <= 8; ++seed) {
    std::string bytes = whole;
    uint64_t state = seed * 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < 200; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      bytes[(state >> 24) % bytes.size()] = static_cast<char>(state >> 56);
    }
    const std::string path = folder.write("flipped.pcapng", bytes);
    const int code = vitrine({"audit", path, "--data", kRoot, "--fail-on", "never"}).exit_code;
    EXPECT_TRUE(code == 0 || code == 3) << "seed " << seed << ": " << code;
  }
}

// ---- the gate --------------------------------------------------------------------

TEST(FailOn, LevelsAreOrdered) {
  struct Case {
    const char *scenario, *version, *level;
    int code;
  };
  // 2025-02 contradicts in every scenario (content.chat-url, and the cookie mtk_id);
  // 2024-12 without the cookie notice has nothing worse than omitted.
  constexpr Case kCases[] = {
      {"keystroke", "2025-02", "never", 0},     {"keystroke", "2025-02", "contradicted", 1},
      {"keystroke", "2025-02", "ambiguous", 1}, {"clean", "2025-02", "vague", 1},
      {"clean", "2025-02", "incomplete", 1},
  };
  for (const Case& each : kCases) {
    const Outcome outcome = vitrine(audit_arguments(each.scenario, each.version, {"--fail-on", each.level}));
    EXPECT_EQ(outcome.exit_code, each.code) << each.scenario << " " << each.level << outcome.err;
  }
  const auto december = [](const std::string& level, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = audit_arguments("clean", "2024-12");
    arguments.resize(arguments.size() - 2);  // without the cookie notice
    arguments.insert(arguments.end(), {"--fail-on", level});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return vitrine(arguments).exit_code;
  };
  EXPECT_EQ(december("contradicted", {}), 0);
  EXPECT_EQ(december("ambiguous", {}), 0);
  EXPECT_EQ(december("omitted", {}), 1);
  // Evidence for a rule that was asked for counts, at every level.
  EXPECT_EQ(december("contradicted", {"--rules", "no-egress"}), 1);
  EXPECT_EQ(december("never", {"--rules", "no-egress"}), 0);
}

// ---- determinism -----------------------------------------------------------------

TEST(Threads, OutputIsByteIdenticalAtAnyNumber) {
  const std::vector<std::vector<std::string>> commands = {
      {"fields", kKeystroke, "--data", kRoot, "--policies", aster::kFolder + "/policies"},
      {"exchanges", kKeystroke, "--json"},
      {"exchanges", kKeystroke},
      audit_arguments("keystroke", "2025-02", {"--json", "-", "--fail-on", "never"}),
      audit_arguments("keystroke", "2025-02", {"--fail-on", "never"}),
  };
  for (const std::vector<std::string>& command : commands) {
    std::string first;
    for (const char* threads : {"1", "2", "5"}) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"--threads", threads});
      const Outcome outcome = vitrine(arguments);
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      ASSERT_GT(outcome.out.size(), 1'000u);
      if (first.empty()) first = outcome.out;
      else EXPECT_TRUE(outcome.out == first) << command.front() << " with " << threads << " threads";
    }
  }
}

TEST(Simulated, IsSaidInEveryFormat) {
  const TempFolder folder;
  const Outcome terminal = vitrine(audit_arguments(
      "clean", "2024-12", {"--json", folder.path("r.json"), "--html", folder.path("r.html"), "--fail-on", "never"}));
  ASSERT_EQ(terminal.exit_code, 0) << terminal.err;
  EXPECT_THAT(terminal.out, HasSubstr("SIMULATED"));
  EXPECT_TRUE(nlohmann::json::parse(contents(folder.path("r.json")))["simulated"].get<bool>());
  EXPECT_THAT(contents(folder.path("r.html")), HasSubstr("SIMULATED"));
  // Evidence is for its owner.
  EXPECT_EQ(std::filesystem::status(folder.path("r.json")).permissions() & std::filesystem::perms(0777),
            std::filesystem::perms(0600));
}

// ---- schemas ---------------------------------------------------------------------

// Validates every line (or the whole, for one document) with Python's jsonschema.
// Exit codes: 0 valid, 1 not valid, 77 no such module.
constexpr const char* kValidate = R"(
import json, sys
try:
    import jsonschema
except ImportError:
    sys.exit(77)
schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)(schema)
text = open(sys.argv[2], encoding="utf-8").read()
documents = [text] if sys.argv[3] == "document" else text.splitlines()
bad = 0
for number, document in enumerate(documents, 1):
    for error in list(validator.iter_errors(json.loads(document)))[:3]:
        print(f"{number}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}", file=sys.stderr)
        bad += 1
    if bad > 10:
        break
print(len(documents))
sys.exit(1 if bad else 0)
)";

TEST(Schemas, EveryJsonOutputIsValid) {
  const TempFolder folder;
  const std::string script = folder.write("validate.py", kValidate);
  for (const std::string& scenario : aster::kScenarios) {
    struct Case {
      std::vector<std::string> arguments;
      const char *schema, *kind;
    };
    const Case cases[] = {
        {{"fields", aster::recording(scenario), "--data", kRoot, "--policies", aster::kFolder + "/policies"},
         "/capture/fields/field.schema.json",
         "lines"},
        {{"exchanges", aster::recording(scenario), "--json"}, "/capture/fields/exchange.schema.json", "lines"},
        {audit_arguments(scenario, "2025-02", {"--json", "-", "--fail-on", "never"}), "/reports/report.schema.json",
         "document"},
    };
    for (const Case& each : cases) {
      const Outcome outcome = vitrine(each.arguments);
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      const std::string output = folder.write("output.json", outcome.out);
      const Outcome valid = run_command("python3", {script, kRoot + each.schema, output, each.kind});
      if (valid.exit_code == 77 || valid.exit_code == 127)
        GTEST_SKIP() << "needs python3 with jsonschema (./dev setup --tests)";
      EXPECT_EQ(valid.exit_code, 0) << scenario << " " << each.schema << "\n" << valid.err;
    }
  }
}

// ---- policies --------------------------------------------------------------------

TEST(PolicyCommand, ListsAndShowsWhatIsHeld) {
  const Outcome list = vitrine({"policy", "list", "--data", kRoot});
  EXPECT_EQ(list.exit_code, 0);
  for (const char* name : {"deepseek/2024-12-05", "deepseek/2025-02-14", "deepseek/2025-04-28", "deepseek/2025-07-04",
                           "deepseek/cookies-2025-03-21"}) {
    EXPECT_THAT(list.out, HasSubstr(name));
  }
  EXPECT_THAT(list.out, Not(HasSubstr("aster/2024-12")));
  EXPECT_THAT(vitrine({"policy", "list", "--data", kRoot, "--policies", aster::kFolder + "/policies"}).out,
              HasSubstr("aster/2024-12"));
  const Outcome json = vitrine({"policy", "list", "--data", kRoot, "--json"});
  EXPECT_NO_THROW(EXPECT_FALSE(nlohmann::json::parse(json.out).empty()));

  const Outcome show = vitrine({"policy", "show", "deepseek/2024-12-05", "--data", kRoot});
  EXPECT_EQ(show.exit_code, 0);
  EXPECT_THAT(show.out, HasSubstr("keystroke patterns or rhythms"));
  EXPECT_THAT(vitrine({"policy", "show", "deepseek/2025-02-14", "--data", kRoot}).out,
              Not(HasSubstr("keystroke patterns or rhythms")));
}

TEST(PolicyCommand, TheDifferenceNamesKeystrokeDynamicsWithItsSentence) {
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"deepseek", "2024-12-05", "2025-02-14"},
        std::vector<std::string>{"deepseek/2024-12-05", "deepseek/2025-02-14"}}) {
    std::vector<std::string> arguments = {"policy", "diff", "--data", kRoot, "--json"};
    arguments.insert(arguments.end(), names.begin(), names.end());
    const Outcome outcome = vitrine(arguments);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const nlohmann::json json = nlohmann::json::parse(outcome.out);
    size_t found = 0;
    for (const nlohmann::json& change : json.at("data")) {
      if (change.at("type") != "behaviour.keystroke-dynamics" || change.at("action") != "collect") continue;
      ++found;
      EXPECT_EQ(change.at("change"), "removed");
      EXPECT_EQ(change.at("recipient"), "self");
      EXPECT_THAT(change.at("older_quotes").dump(), HasSubstr("keystroke patterns or rhythms"));
      EXPECT_TRUE(change.at("newer_quotes").empty());
      EXPECT_FALSE(change.at("still_broadly").get<bool>());
    }
    EXPECT_EQ(found, 1u);
  }
  // The other way round it is an addition.
  const Outcome back = vitrine({"policy", "diff", "deepseek", "2025-02-14", "2024-12-05", "--data", kRoot, "--json"});
  size_t added = 0;
  const nlohmann::json reversed = nlohmann::json::parse(back.out);
  for (const nlohmann::json& change : reversed.at("data")) {
    added += change.at("type") == "behaviour.keystroke-dynamics" && change.at("action") == "collect" &&
             change.at("change") == "added";
  }
  EXPECT_EQ(added, 1u);
  // For people: the same words on the terminal.
  const Outcome text = vitrine({"policy", "diff", "deepseek", "2024-12-05", "2025-02-14", "--data", kRoot});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("eystroke"));
}

TEST(PolicyCommand, EveryQuoteOfTheExampleIsInItsText) {
  const Outcome outcome = vitrine({"policy", "lint", "--data", kRoot, "--policies", aster::kFolder + "/policies",
                                   "--texts", aster::kFolder + "/policies/texts"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr(" 0 problems"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("; 0 quotes compared")));
}

// A copy of Aster's policy folder in which one thing is wrong.
struct Broken {
  TempFolder folder;
  explicit Broken(const std::string& before, const std::string& after) {
    std::filesystem::copy(aster::kFolder + "/policies", folder.path("policies"),
                          std::filesystem::copy_options::recursive);
    std::string text = contents(file());
    const size_t at = text.find(before);
    if (at == std::string::npos) ADD_FAILURE() << before;
    else text.replace(at, before.size(), after);
    folder.write("policies/vendors/aster/2024-12.yaml", text);
    line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(at, text.size())), '\n');
  }
  std::string file() const { return folder.path("policies/vendors/aster/2024-12.yaml"); }
  Outcome lint() const {
    return vitrine({"policy", "lint", "--data", kRoot, "--policies", folder.path("policies"), "--texts",
                    folder.path("policies/texts")});
  }
  std::ptrdiff_t line = 0;
};

TEST(PolicyCommand, LintFindsAQuoteThatIsNotInTheText) {
  const Outcome outcome =
      Broken("the rhythm in which you press the keys", "the force with which you press the keys").lint();
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("aster/2024-12.yaml"));
  EXPECT_THAT(outcome.out, HasSubstr("technical"));
  EXPECT_THAT(outcome.out, HasSubstr(" 1 problems"));
}

TEST(PolicyCommand, ABadFileIsNamedWithLineAndKey) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"action: collect", "action: hoard", "hoard"},
      {"data: [content.prompt, content.file]", "data: [content.prompt, content.telepathy]", "content.telepathy"},
      {"complete: true", "compleat: true\ncomplete: true", "compleat"},
      {"trigger: typing", "trigger: dreaming", "dreaming"},
  };
  for (const auto& [before, after, words] : cases) {
    const Broken broken(before, after);
    for (const Outcome& outcome :
         {broken.lint(), vitrine({"audit", kClean, "--data", kRoot, "--policies", broken.folder.path("policies")})}) {
      SCOPED_TRACE(after);
      EXPECT_NE(outcome.exit_code, 0);
      EXPECT_THAT(outcome.err, HasSubstr("2024-12.yaml"));
      EXPECT_THAT(outcome.err, HasSubstr(":" + std::to_string(broken.line)));
      EXPECT_THAT(outcome.err, HasSubstr(words));
    }
  }
}

// ---- other inputs ----------------------------------------------------------------

// One request of Aster's client as a browser and as a tap would write it down.
constexpr const char* kHar =
    R"({"log":{"version":"1.2","creator":{"name":"test","version":"1"},"comment":"SIMULATED","entries":[
{"startedDateTime":"2026-11-23T21:00:00.000Z","time":12,"request":{"method":"POST","url":"https://chat.aster.test/api/v0/chat/completion",
"httpVersion":"http/2.0","headers":[{"name":"content-type","value":"application/json"},{"name":"user-agent","value":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"}],
"queryString":[],"cookies":[],"headersSize":-1,"bodySize":29,"postData":{"mimeType":"application/json","text":"{\"prompt\":\"Name three rivers\"}"}},
"response":{"status":200,"statusText":"","httpVersion":"http/2.0","headers":[],"cookies":[],"content":{"size":2,"mimeType":"application/json","text":"{}"},"redirectURL":"","headersSize":-1,"bodySize":-1},
"cache":{},"timings":{"send":0,"wait":12,"receive":0},"serverIPAddress":"203.0.113.10"}]}})";

constexpr const char* kExchangeLog =
    R"({"type":"vitrine-exchange-log","version":1,"simulated":true}
{"type":"connection","connection":1,"time":"2026-11-23T21:00:00Z","client":"192.0.2.10:51312","server":"203.0.113.10:443","protocol":"h2","tls":{"version":772,"sni":"chat.aster.test","alpn":"h2"}}
{"type":"open","connection":1,"ordinal":1,"time":"2026-11-23T21:00:00Z","protocol":"HTTP/2","method":"POST","url":"https://chat.aster.test/api/v0/chat/completion"}
{"type":"part","connection":1,"ordinal":1,"kind":"headers","direction":"client_to_server","time":"2026-11-23T21:00:00Z","headers":[["content-type","application/json"]],"wire_bytes":64}
{"type":"part","connection":1,"ordinal":1,"kind":"body","direction":"client_to_server","time":"2026-11-23T21:00:00Z","content":"{\"prompt\":\"Name three rivers\"}","wire_bytes":30}
{"type":"close","connection":1,"ordinal":1,"time":"2026-11-23T21:00:01Z","reason":"complete","client_to_server":{"complete":true,"bytes":{"decoded":94}}}
{"type":"connection-closed","connection":1,"client_to_server":{"decoded":94},"server_to_client":{}}
)";

TEST(OtherInputs, HarAndExchangeLogGiveTheSameFinding) {
  const TempFolder folder;
  for (const std::string& path : {folder.write("visit.har", kHar), folder.write("tap.ndjson", kExchangeLog)}) {
    SCOPED_TRACE(path);
    const Outcome outcome = vitrine({"audit", path, "--service", "aster", "--country", "DE", "--account", "consumer",
                                     "--data", kRoot, "--policies", aster::kFolder + "/policies", "--policy",
                                     "aster/2024-12", "--json", "-", "--fail-on", "never"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const nlohmann::json report = nlohmann::json::parse(outcome.out);
    size_t prompts = 0;
    for (const nlohmann::json& finding : report.at("findings")) {
      if (finding.at("kind") != "flow" || finding.at("type") != "content.prompt") continue;
      ++prompts;
      EXPECT_EQ(finding.at("verdict"), "clear");
      EXPECT_EQ(finding.at("recipient"), "aster-intelligence");
    }
    EXPECT_EQ(prompts, 1u);
    // The value is masked: content by its length only.
    EXPECT_THAT(outcome.out, Not(HasSubstr("three rivers")));
  }
}

TEST(OtherInputs, AnotherKeyLogDoesAsWellAsEmbeddedSecrets) {
  const Outcome without = vitrine({"exchanges", kClean, "--json", "--ignore-embedded-secrets"});
  const Outcome with = vitrine({"exchanges", kClean, "--json"});
  EXPECT_EQ(without.exit_code, 0);
  EXPECT_LT(lines_of(without.out).size(), lines_of(with.out).size() / 10);
}

// ---- origin ----------------------------------------------------------------------

TEST(OriginCommand, PrintsTheChainAndHidesValuesUnlessAsked) {
  const Outcome fields =
      vitrine({"fields", kClean, "--data", kRoot, "--policies", aster::kFolder + "/policies", "--typed"});
  std::string id, value;
  for (const std::string& line : lines_of(fields.out)) {
    const nlohmann::json field = nlohmann::json::parse(line);
    if (field.at("path") == "body|json/prompt") id = field.at("origin"), value = field.at("value");
  }
  ASSERT_FALSE(id.empty());
  const Outcome masked = vitrine({"origin", id, kClean});
  EXPECT_EQ(masked.exit_code, 0) << masked.err;
  EXPECT_THAT(masked.out, HasSubstr("replayed: the chain gives the field's value"));
  EXPECT_THAT(masked.out, Not(HasSubstr(value)));
  EXPECT_THAT(vitrine({"origin", id, kClean, "--show-values"}).out, HasSubstr(value));
  const nlohmann::json json = nlohmann::json::parse(vitrine({"origin", id, kClean, "--json"}).out);
  EXPECT_TRUE(json.at("verified").get<bool>());
  EXPECT_TRUE(json.at("packets_complete").get<bool>());
  EXPECT_FALSE(json.at("packets").empty());
  // Under other keys the id leads nowhere, and that is said.
  EXPECT_EQ(vitrine({"origin", id, kClean, "--ignore-embedded-secrets"}).exit_code, 2);
}

}  // namespace
}  // namespace vitrine::cli

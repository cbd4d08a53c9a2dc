// What keeps "declared, not observed" from being said: bytes that were not read,
// in whatever form.
#include "tests/audit/audit_fixture.h"

namespace vitrine {
namespace {

using namespace testing;

std::set<std::string> reasons(const Finding& finding) {
  std::set<std::string> ids;
  for (const Sentence& reason : finding.reasons) ids.insert(reason.id);
  return ids;
}

World world_that_declares(const std::string& type, const std::string& recipient) {
  World world;
  PolicyText text;
  text.statements = {statement("s", recipient == "self" ? "collect" : "share", type, recipient)};
  world.inputs.policies = {text.parse()};
  return world;
}

std::set<std::string> reasons_of(const World& world, const std::string& recipient,
                                 const std::vector<Request>& requests) {
  const AuditResult result = world.run(requests);
  const Finding* finding = result.finding(FindingKind::declared, "device.battery", recipient);
  if (finding == nullptr) throw std::runtime_error("no finding");
  EXPECT_EQ(finding->verdict, finding->reasons.empty() ? Verdict::declared_not_observed : Verdict::not_testable);
  return reasons(*finding);
}

Request to(const std::string& host, ConnectionId connection, std::vector<SentValue> values = {}) {
  Request out;
  out.host = host;
  out.connection = connection;
  out.values = std::move(values);
  if (host != "chat.test") out.origin = "https://chat.test";
  return out;
}

SentValue random_text(const std::string& value) {
  return {"identifier.other", value,          Observation::unconfirmed,
          "body|json/d",      Location::body, "check:high_entropy_token"};
}

using Reasons = std::set<std::string>;

// ---- short values ------------------------------------------------------------

TEST(UnreadValues, OneToACompanyThatReceivesProfilesIsEnough) {
  const World world = world_that_declares("device.battery", "anti-fraud");
  const Request plain = to("f.guard.test", 2, {{"device.model"}});
  EXPECT_EQ(reasons_of(world, "anti-fraud", {to("chat.test", 1), plain}), Reasons{});
  const Request token = to("f.guard.test", 2, {random_text("kD3fG7hJ9kL1mN3pQ5rS7t")});
  EXPECT_EQ(reasons_of(world, "anti-fraud", {to("chat.test", 1), token}), Reasons{"reason.unread-values"});

  SentValue bytes{"", std::string("\x01\xfe\x80\x07\x91\x13\x55\xaa\x10\x99\xe1\x42\x77\x02\xc5\xd0", 16)};
  bytes.decided_by.clear();
  bytes.value_type = ValueType::binary;
  EXPECT_EQ(reasons_of(world, "anti-fraud", {to("f.guard.test", 2, {bytes})}), Reasons{"reason.unread-values"});
  // A rule file knows what it is: a nonce, an image of its own.
  bytes.decided_by = "gen-none";
  EXPECT_EQ(reasons_of(world, "anti-fraud", {to("f.guard.test", 2, {bytes})}), Reasons{});
}

TEST(UnreadValues, ElsewhereTokensAreOrdinaryButNotABlobInPieces) {
  const World world = world_that_declares("device.battery", "self");
  const SentValue token = random_text("kD3fG7hJ9kL1mN3pQ5rS7t");
  EXPECT_EQ(reasons_of(world, "self", {to("chat.test", 1, {token, token})}), Reasons{});
  const SentValue piece = random_text("kD3fG7hJ9kL1mN3pQ5rS7tkD3fG7hJ9kL1mN3pQ5rS7tQ2w4");
  EXPECT_EQ(reasons_of(world, "self", {to("chat.test", 1, {piece, piece, piece})}), Reasons{"reason.unread-values"});
  // One each in messages of their own, and digests, are what every client sends.
  EXPECT_EQ(reasons_of(world, "self", {to("chat.test", 1, {piece}), to("chat.test", 2, {piece})}), Reasons{});
  const SentValue digest = random_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(reasons_of(world, "self", {to("chat.test", 1, {digest, digest, digest, digest})}), Reasons{});
  // Cookies are made by the server.
  SentValue cookie = piece;
  cookie.location = Location::cookie;
  EXPECT_EQ(reasons_of(world, "self", {to("chat.test", 1, {cookie, cookie, cookie})}), Reasons{});
}

TEST(UnreadValues, CountOnlyForWhomTheyWentTo) {
  World world = world_that_declares("device.battery", "self");
  const Request token = to("f.guard.test", 2, {random_text("kD3fG7hJ9kL1mN3pQ5rS7t")});
  EXPECT_EQ(reasons_of(world, "self", {to("chat.test", 1), token}), Reasons{});
  // Whoever asked for it.
  world = world_that_declares("device.battery", "anti-fraud");
  Request others = token;
  others.origin = "https://elsewhere.test";
  EXPECT_EQ(reasons_of(world, "anti-fraud", {to("chat.test", 1), others}), Reasons{"reason.unread-values"});
}

// ---- addresses without a name --------------------------------------------------

Request nameless(const std::string& address, uint64_t unread, uint16_t tls = 0) {
  Request out;
  out.connection = 9;
  out.host.clear();
  out.server = address;
  out.no_key = unread;
  out.tls = tls;
  return out;
}

TEST(NamelessAddresses, MayBelongToTheServiceItself) {
  const World world = world_that_declares("device.battery", "self");
  const Request read = to("chat.test", 1);
  EXPECT_EQ(reasons_of(world, "self", {read, nameless("198.51.100.99", 0)}), Reasons{});
  EXPECT_EQ(reasons_of(world, "self", {read, nameless("198.51.100.99", 700)}), Reasons{"reason.nameless"});
  EXPECT_EQ(reasons_of(world, "self", {read, nameless("2001:db8::99", 700)}), Reasons{"reason.nameless"});
  for (const char* here : {"192.168.1.1", "224.0.0.251", "239.255.255.250", "ff02::fb", "ff05::c", "fe80::1"}) {
    EXPECT_EQ(reasons_of(world, "self", {read, nameless(here, 700)}), Reasons{}) << here;
  }
}

TEST(NamelessAddresses, ANameMakesThemSomebodysOwn) {
  const World world = world_that_declares("device.battery", "self");
  FlowCollector collector(world.inputs);
  collector.resolved(IpAddress::parse("198.51.100.99"), "time.elsewhere.test");
  feed(collector, to("chat.test", 1));
  feed(collector, nameless("198.51.100.99", 700));
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  EXPECT_EQ(result.finding(FindingKind::declared, "device.battery", "self")->verdict, Verdict::declared_not_observed);
}

TEST(NamelessAddresses, PingsAreNoTrafficOfAnApplication) {
  const World world = world_that_declares("device.battery", "self");
  FlowCollector collector(world.inputs);
  feed(collector, to("chat.test", 1));
  ConnectionInfo ping;
  ping.id = 8;
  ping.transport = Transport::other_ip;
  ping.server = {IpAddress::parse("198.51.100.99"), 0};
  ping.overhead[0].add(Cause::unsupported, 64);
  collector.connection_closed(ping);
  const AuditResult result = evaluate(world.inputs, std::move(collector), {});
  EXPECT_EQ(result.finding(FindingKind::declared, "device.battery", "self")->verdict, Verdict::declared_not_observed);
}

}  // namespace
}  // namespace vitrine

// What ties a flow to the subject when nobody says who asked for it.
#include "tests/audit/audit_fixture.h"

namespace vitrine {
namespace {

using namespace testing;

Request to(const std::string& host, ConnectionId connection, const std::string& asker = {}) {
  Request out;
  out.host = host;
  out.connection = connection;
  out.values = {{"device.model"}};
  if (!asker.empty()) out.origin = "https://" + asker;
  return out;
}

// By what the flow to the recipient was attributed; `unattributed` alone when not.
std::vector<Attribution> tie(const AuditResult& result, const std::string& recipient) {
  std::vector<Attribution> ties;
  for (const auto* list : {&result.flows, &result.unattributed}) {
    for (const Flow& flow : *list) {
      if (flow.recipient == recipient && flow.type == "device.model") {
        ties.insert(ties.end(), flow.attributed_by.begin(), flow.attributed_by.end());
      }
    }
  }
  return ties;
}

using Ties = std::vector<Attribution>;

// One connection to x.ads.test with these requests, the last of which closes it.
std::vector<Request> on_one_connection(std::vector<Request> requests) {
  for (uint32_t i = 0; i < requests.size(); ++i) {
    requests[i].connection = 5;
    requests[i].ordinal = i + 1;
    requests[i].keep_open = i + 1 < requests.size();
  }
  return requests;
}

TEST(SameConnection, AsRequestsOfTheSubjectAlone) {
  World world;
  const auto asked = to("x.ads.test", 5, "chat.test");
  const auto beacon = to("x.ads.test", 5);
  const auto foreign = to("x.ads.test", 5, "elsewhere.test");
  EXPECT_EQ(tie(world.run(on_one_connection({asked, beacon})), "adhouse"),
            (Ties{Attribution::same_connection, Attribution::page}));
  EXPECT_EQ(tie(world.run(on_one_connection({beacon, asked})), "adhouse"),
            (Ties{Attribution::same_connection, Attribution::page}));
  // Somebody else on it: nobody knows who sent the beacon.
  EXPECT_EQ(tie(world.run(on_one_connection({asked, foreign, beacon})), "adhouse"),
            (Ties{Attribution::page, Attribution::unattributed}));
  // Another connection that says nothing: the same.
  std::vector<Request> two = on_one_connection({asked, beacon});
  two.push_back(to("x.ads.test", 6));
  EXPECT_EQ(tie(world.run(two), "adhouse"), (Ties{Attribution::page, Attribution::unattributed}));
  EXPECT_EQ(tie(world.run(two, 3), "adhouse"), (Ties{Attribution::page, Attribution::unattributed}));
  // Another page was open: browsers may use one connection for both.
  std::vector<Request> with_other = on_one_connection({asked, beacon});
  with_other.push_back(to("t.meter.test", 6, "elsewhere.test"));
  EXPECT_EQ(tie(world.run(with_other), "adhouse"), (Ties{Attribution::page, Attribution::unattributed}));
  with_other.back() = to("www.paper.test", 6);
  with_other.back().headers = {{"sec-fetch-dest", "document"}};
  EXPECT_EQ(tie(world.run(with_other), "adhouse"), (Ties{Attribution::page, Attribution::unattributed}));
  // Alone.
  EXPECT_EQ(tie(world.run({to("chat.test", 1), to("x.ads.test", 6)}), "adhouse"), Ties{Attribution::unattributed});
}

Request of_process(Request request, const std::string& process) {
  request.process = process;
  return request;
}

TEST(ClientProcess, OfAProgramThatServesTheSubjectAlone) {
  World world;
  const Request own = of_process(to("chat.test", 1), "chat-cli");
  const Request third = of_process(to("x.ads.test", 2), "chat-cli");
  EXPECT_EQ(tie(world.run({own, third}), "adhouse"), Ties{Attribution::client_process});
  EXPECT_EQ(tie(world.run({own, third}, 2), "adhouse"), Ties{Attribution::client_process});
  // A connection nobody decrypted, named by its hello.
  Request sealed = third;
  sealed.no_key = 700;
  const AuditResult result = world.run({own, sealed});
  for (const LedgerRow& row : result.ledger) {
    if (row.host == "x.ads.test") {
      EXPECT_TRUE(row.attributed);
    }
  }
  // Another program.
  EXPECT_EQ(tie(world.run({own, of_process(to("x.ads.test", 2), "updater")}), "adhouse"),
            Ties{Attribution::unattributed});
  // The process is not known.
  EXPECT_EQ(tie(world.run({own, to("x.ads.test", 2)}), "adhouse"), Ties{Attribution::unattributed});
}

TEST(ClientProcess, NotOfABrowserOrAProgramWithOtherBusiness) {
  World world;
  const Request own = of_process(to("chat.test", 1), "prog");
  const Request third = of_process(to("x.ads.test", 2), "prog");
  Request fetched = own;
  fetched.headers = {{"sec-fetch-site", "same-origin"}};
  EXPECT_EQ(tie(world.run({fetched, third}), "adhouse"), Ties{Attribution::unattributed}) << "a browser";
  Request page = of_process(to("www.paper.test", 3), "prog");
  page.headers = {{"sec-fetch-dest", "document"}};
  EXPECT_EQ(tie(world.run({own, page, third}), "adhouse"), Ties{Attribution::unattributed}) << "another page";
  EXPECT_EQ(tie(world.run({own, of_process(to("t.meter.test", 3, "elsewhere.test"), "prog"), third}), "adhouse"),
            Ties{Attribution::unattributed})
      << "in another's name";
  World two = world;
  World::check(two.inputs.recipients.add(
      "recipients: 1\nentities:\n  - {id: talkco, name: Talk, country: US, domains: [talk.test], service: talk, "
      "categories: [first-party], kind: first-party, source: test, date: 2026-01}\n",
      "more.yaml"));
  EXPECT_EQ(tie(two.run({own, of_process(to("talk.test", 3), "prog"), third}), "adhouse"),
            Ties{Attribution::unattributed})
      << "another service";
  // Nothing of the first party was read: the program may be a browser.
  Request sealed = own;
  sealed.no_key = 700;
  EXPECT_EQ(tie(world.run({sealed, third}), "adhouse"), Ties{Attribution::unattributed});
}

TEST(ClientProcess, TheContextsListDecidesFirst) {
  World world;
  world.inputs.context.processes = {"other"};
  EXPECT_EQ(tie(world.run({of_process(to("chat.test", 1), "chat-cli"), of_process(to("x.ads.test", 2), "chat-cli")}),
                "adhouse"),
            Ties{Attribution::unattributed});
}

}  // namespace
}  // namespace vitrine

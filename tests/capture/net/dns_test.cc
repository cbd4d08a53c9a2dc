#include "capture/net/dns.h"

#include <gtest/gtest.h>

#include "tests/capture/net/wire.h"

namespace vitrine {
namespace {

using wire::Out;

std::string label(std::string_view text) { return Out().u8(text.size()).raw(text).str(); }
std::string name(std::initializer_list<std::string_view> labels) {
  std::string out;
  for (const auto l : labels) out += label(l);
  return out + std::string(1, '\0');
}
std::string header(uint16_t flags, uint16_t questions, uint16_t answers) {
  return Out().u16(0x1234).u16(flags).u16(questions).u16(answers).u32(0).str();
}
std::string record(const std::string& owner, uint16_t type, std::string_view data, uint16_t klass = 1) {
  return Out().raw(owner).u16(type).u16(klass).u32(300).u16(data.size()).raw(data).str();
}
const std::string kPointerToQuestion("\xc0\x0c", 2);

std::string response() {
  return header(0x8180, 1, 4) + name({"Chat", "aster", "test"}) + Out().u16(28).u16(1).str() +
         record(kPointerToQuestion, 5, label("edge") + std::string("\xc0\x11", 2)) +  // edge.aster.test
         record(name({"edge", "aster", "test"}), 1, std::string_view("\xcb\0\x71\x09", 4)) +
         record(kPointerToQuestion, 28, std::string_view("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16)) +
         record(kPointerToQuestion, 16, label("text"));
}

TEST(Dns, QuestionsAndAnswers) {
  const std::string bytes = response();
  const auto message = parse_dns(as_bytes(bytes));
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->id, 0x1234);
  EXPECT_TRUE(message->response);
  ASSERT_EQ(message->questions.size(), 1u);
  EXPECT_EQ(message->questions[0].name, "Chat.aster.test");
  EXPECT_EQ(to_string_dns_type(message->questions[0].type), "AAAA");
  EXPECT_EQ(bytes.substr(message->questions[0].offset, message->questions[0].length), name({"Chat", "aster", "test"}));
  ASSERT_EQ(message->answers.size(), 3u);
  EXPECT_EQ(message->answers[0].target, "edge.aster.test");
  EXPECT_EQ(message->answers[1].name, "edge.aster.test");
  EXPECT_EQ(message->answers[1].ip.to_string(), "203.0.113.9");
  EXPECT_EQ(message->answers[2].ip.to_string(), "2001:db8::1");
  EXPECT_EQ(message->answers[2].ttl, 300u);
  EXPECT_EQ(message->skipped, 1u);
}

TEST(Dns, NamesInPresentationForm) {
  const auto odd = parse_dns(as_bytes(header(0x0100, 2, 0) + label(std::string_view("a.b\\\0\xff ", 7)) + name({}) +
                                      Out().u16(1).u16(1).raw(name({})).u16(65).u16(1).str()));
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->questions[0].name, "a\\.b\\\\\\000\\255\\032");
  EXPECT_EQ(odd->questions[1].name, ".");
  EXPECT_EQ(to_string_dns_type(odd->questions[1].type), "HTTPS");
  EXPECT_EQ(to_string_dns_type(65280), "TYPE65280");
}

TEST(Dns, DamageIsRefused) {
  const std::string question = Out().u16(1).u16(1).str();
  for (const std::string& bad :
       {std::string("short"), header(0, 1, 0), header(0, 1, 0) + label("no end"),
        header(0, 1, 0) + kPointerToQuestion + question,          // points to itself
        header(0, 1, 0) + std::string("\xc0\x20", 2) + question,  // points ahead
        header(0, 1, 0) + std::string("\x80\x01", 2) + question, header(0, 1, 0) + name({"a"}) + "xx",
        header(0x8000, 0, 1) + record(name({"a"}), 1, "abc")}) {
    EXPECT_FALSE(parse_dns(as_bytes(bad)));
  }
  std::string longest;
  for (int i = 0; i < 5; ++i) longest += label(std::string(63, 'x'));
  EXPECT_FALSE(parse_dns(as_bytes(header(0, 1, 0) + longest + std::string(1, '\0') + question)));
  const std::string good = response();
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse_dns(as_bytes(std::string_view(good).substr(0, length))));
  }
}

TEST(Dns, MulticastAnswersHaveTheCacheFlushBit) {
  const auto message = parse_dns(as_bytes(header(0x8400, 0, 2) + record(name({"printer", "local"}), 1, "abcd", 0x8001) +
                                          record(name({"chaos", "test"}), 1, "abcd", 3)));
  ASSERT_TRUE(message);
  ASSERT_EQ(message->answers.size(), 1u);
  EXPECT_EQ(message->answers[0].name, "printer.local");
  EXPECT_EQ(message->skipped, 1u);
}

TEST(Dns, TruncatedResponseKeepsItsAnswers) {
  std::string bytes = response();
  bytes[2] = static_cast<char>(bytes[2] | 2);
  const auto message = parse_dns(as_bytes(std::string_view(bytes).substr(0, bytes.size() - 20)));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->truncated);
  EXPECT_EQ(message->answers.size(), 2u);
}

TEST(Dns, ManyRecordsAreBounded) {
  std::string bytes = header(0x8000, 1, 400) + name({"a"}) + Out().u16(1).u16(1).str();
  for (int i = 0; i < 400; ++i) bytes += record(kPointerToQuestion, 1, "abcd");
  const auto message = parse_dns(as_bytes(bytes));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->answers.size(), 256u);
  EXPECT_EQ(message->skipped, 144u);
}

TEST(Dns, TcpFraming) {
  const std::string one = response();
  const std::string stream = Out().u16(one.size()).raw(one).u16(0).u16(3).raw("abc").u16(9).raw("cut").str();
  for (const size_t step : {size_t{1}, size_t{2}, size_t{7}, stream.size()}) {
    DnsTcpFramer framer;
    std::vector<std::string> messages;
    for (size_t at = 0; at < stream.size(); at += step) {
      Bytes in = as_bytes(std::string_view(stream).substr(at, step));
      for (;;) {
        const Bytes message = framer.next(in);
        if (message.empty()) break;
        messages.emplace_back(as_text(message));
      }
      EXPECT_TRUE(in.empty());
    }
    EXPECT_EQ(messages, (std::vector<std::string>{one, "abc"})) << step;
    EXPECT_TRUE(framer.inside_message());
  }
}

}  // namespace
}  // namespace vitrine

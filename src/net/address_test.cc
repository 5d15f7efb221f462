#include "net/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace nidus::net {
namespace {

std::string rewritten(std::string_view text) {
  const auto parsed = parse_address(text);
  return parsed ? address_text(parsed->address, parsed->version) : "no";
}

TEST(AddressTest, WritesVersion4) {
  EXPECT_EQ(rewritten("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(rewritten("255.255.255.255"), "255.255.255.255");
  EXPECT_EQ(rewritten("0.0.0.0"), "0.0.0.0");
}

TEST(AddressTest, WritesVersion6TheShortWay) {
  EXPECT_EQ(rewritten("2001:0DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(rewritten("0:0:0:0:0:0:0:0"), "::");
  EXPECT_EQ(rewritten("::1"), "::1");
  EXPECT_EQ(rewritten("1::"), "1::");
  EXPECT_EQ(rewritten("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");  // a single zero group stays
  EXPECT_EQ(rewritten("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");           // the longest run
  EXPECT_EQ(rewritten("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");     // the first of two
  EXPECT_EQ(rewritten("::ffff:10.0.0.1"), "::ffff:10.0.0.1");
  EXPECT_EQ(rewritten("1:2:3:4:5:6:7:8"), "1:2:3:4:5:6:7:8");
}

TEST(AddressTest, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "10.0.0.01", " 10.0.0.1", "10.0.0.1 ", "1:2:3",
                           "::1::", "fe80::1%eth0", "[::1]", "localhost", "10.0.0.1/8"}) {
    EXPECT_EQ(rewritten(text), "no") << text;
  }
  EXPECT_EQ(rewritten(std::string_view("10.0.0.1\0", 9)), "no");
  EXPECT_EQ(rewritten(std::string(100, '1')), "no");
}

// The C library writes the same, but for the deprecated "compatible" addresses.
TEST(AddressTest, AgreesWithTheLibraryOnRandomAddresses) {
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    Address address;
    for (std::size_t group = 0; group < 16; group += 2) {
      if (random.below(2) == 0) address.bytes[group + 1] = static_cast<std::uint8_t>(random.next());
      if (random.below(4) == 0) address.bytes[group] = static_cast<std::uint8_t>(random.next());
    }
    address.bytes[0] |= 1;
    char expected[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, address.bytes.data(), expected, sizeof expected);
    ASSERT_EQ(address_text(address, IpVersion::v6), expected);
    ASSERT_EQ(parse_address(expected)->address, address);
  }
}

TEST(NetworkTest, KnowsItsMembers) {
  const auto network = parse_network("10.1.2.3/12");
  ASSERT_TRUE(network);
  EXPECT_EQ(address_text(network->address, network->version), "10.0.0.0");
  const auto contains = [&](std::string_view text) {
    const auto address = parse_address(text);
    return network->contains(address->address, address->version);
  };
  EXPECT_TRUE(contains("10.15.255.255"));
  EXPECT_FALSE(contains("10.16.0.0"));
  EXPECT_FALSE(contains("a00::"));  // the same first bytes, another version
}

TEST(NetworkTest, ReadsPrefixes) {
  EXPECT_EQ(parse_network("10.0.0.1")->prefix_bits, 32);
  EXPECT_EQ(parse_network("::1")->prefix_bits, 128);
  EXPECT_EQ(parse_network("2001:db8::/33")->prefix_bits, 33);
  const auto everything = parse_network("0.0.0.0/0");
  ASSERT_TRUE(everything);
  EXPECT_TRUE(everything->contains(parse_address("255.1.2.3")->address, IpVersion::v4));
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "::/129", "/8",
                           "10.0.0.0/8/9", "10.0.0.0/99999999999999999999"}) {
    EXPECT_FALSE(parse_network(text)) << text;
  }
}

}  // namespace
}  // namespace nidus::net

#include "cmd/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.h"
#include "cmd/exit_status.h"
#include "cmd/terminal.h"

namespace nidus::cmd {
namespace {

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace

struct Arguments::Impl {
  struct Choice {
    std::string option;
    std::string* value;
    std::vector<std::string> choices;
  };

  CLI::App app;
  std::string verb;
  std::vector<Choice> choices;
};

Arguments::Arguments(std::string verb, std::string summary) : impl_(std::make_unique<Impl>()) {
  impl_->app.description(std::move(summary));
  impl_->app.name("nidus " + verb);
  impl_->app.allow_extras();
  impl_->app.set_help_flag("-h,--help", "This text");
  impl_->app.get_formatter()->column_width(34);
  impl_->verb = std::move(verb);
}

Arguments::~Arguments() = default;

void Arguments::inputs(std::vector<std::string>& into, std::string name, std::string help, std::size_t least,
                       std::size_t most) {
  auto* const option = impl_->app.add_option(std::move(name), into, std::move(help));
  option->expected(static_cast<int>(least),
                   most == 0 ? CLI::detail::expected_max_vector_size : static_cast<int>(most));
  if (least > 0) option->required();
  option->type_name("");
}

void Arguments::flag(const std::string& name, bool& into, const std::string& help) {
  impl_->app.add_flag(name, into, help);
}

void Arguments::option(const std::string& name, std::string& into, const std::string& help,
                       std::vector<std::string> choices) {
  auto* const option =
      impl_->app.add_option(name, into, choices.empty() ? help : help + ": " + joined(choices));
  option->type_name("");
  if (!into.empty()) option->default_str(into);
  if (!choices.empty()) impl_->choices.push_back({option->get_name(), &into, std::move(choices)});
}

void Arguments::option(const std::string& name, std::vector<std::string>& into, const std::string& help) {
  impl_->app.add_option(name, into, help)->delimiter(',')->allow_extra_args(false)->type_name("A,B,...");
}

void Arguments::option(const std::string& name, std::uint64_t& into, const std::string& help,
                       std::uint64_t most) {
  auto* const option = impl_->app.add_option(name, into, help)->capture_default_str()->type_name("N");
  if (most != UINT64_MAX) {
    option->check([most](const std::string& text) {
      std::uint64_t value = 0;
      const bool fine = CLI::detail::lexical_cast(text, value) && value <= most;
      return fine ? std::string() : fmt::format("'{}' is not a whole number from 0 to {}", text, most);
    });
  }
}

namespace {

auto within(double least, double most) {
  return [least, most](const std::string& text) {
    double value = 0;
    const bool fine = CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
    return fine ? std::string() : fmt::format("'{}' is not a number from {} to {}", text, least, most);
  };
}

}  // namespace

void Arguments::option(const std::string& name, double& into, const std::string& help, double least,
                       double most) {
  impl_->app.add_option(name, into, help)->capture_default_str()->check(within(least, most))->type_name("X");
}

void Arguments::option(const std::string& name, std::optional<double>& into, const std::string& help,
                       double least, double most) {
  impl_->app.add_option(name, into, help)->check(within(least, most))->type_name("X");
}

void Arguments::footer(std::string text) { impl_->app.footer(std::move(text)); }

std::optional<int> Arguments::read(std::span<const std::string> words) {
  // CLI11 takes the words last one first.
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  std::string complaint;
  try {
    impl_->app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    const std::string help = impl_->app.help();
    std::fwrite(help.data(), 1, help.size(), stdout);
    return kFine;
  } catch (const CLI::ParseError& error) {
    complaint = error.what();
  }
  // A mistyped option may be the reason why CLI11 misses something else, so it is reported first.
  std::vector<std::string> names;
  for (const auto* option : impl_->app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const std::string& word : words) {
    if (word == "--") break;
    if (!word.starts_with("--")) continue;
    const std::string name = word.substr(0, word.find('='));
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    return complain_usage(impl_->verb, fmt::format("unknown option '{}'{}", name, did_you_mean(name, names)));
  }
  if (!complaint.empty()) return complain_usage(impl_->verb, complaint);
  if (const auto extras = impl_->app.remaining(); !extras.empty()) {
    return complain_usage(impl_->verb, fmt::format("unexpected '{}'", extras.front()));
  }
  for (const auto& choice : impl_->choices) {
    if (choice.value->empty()) continue;
    const auto& known = choice.choices;
    if (std::find(known.begin(), known.end(), *choice.value) != known.end()) continue;
    return complain_usage(impl_->verb, fmt::format("{}: '{}' is none of {}{}", choice.option, *choice.value,
                                                   joined(known), did_you_mean(*choice.value, known)));
  }
  return std::nullopt;
}

}  // namespace nidus::cmd

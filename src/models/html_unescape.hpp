// HTML character references undone, by the rules of HTML 5 as Python's html.unescape reads them:
//   html_unescaped("&lt;b&gt; &#233;&eacute &notit;")  ==  "<b> éé ¬it;"
#pragma once
#include <string>
#include <string_view>

namespace sspo::clip {

std::string html_unescaped(std::string_view text);  // valid UTF-8 in and out

}  // namespace sspo::clip

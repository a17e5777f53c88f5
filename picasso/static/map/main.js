// What a page with maps loads. The order matters: tools and lists of classes ask the maps that are there.

import "./element.js";
import "./tools.js";
import "./classes.js";
import "./growing.js";

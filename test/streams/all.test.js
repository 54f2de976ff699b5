/** All libraries, also through an nginx that answers 502 while the gateway is down, as it comes. */
import { LIBRARIES } from "./libraries.js";
import { follow } from "./scenario.js";

const chosen = process.env.LIBRARIES?.split(/[ ,]+/).filter(Boolean);
follow(LIBRARIES.filter(({ name }) => !chosen || chosen.includes(name)), { plain: true });

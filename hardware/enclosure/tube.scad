// Low-cost variant: a tube for a 5 mm infrared LED or a TSSP receiver, as thick as an M18 sensor, so that it fits the same
// holes: pushed in from outside, its flange against the wall, the part glued in from behind. It keeps the light from the walls
// and the other beam. Paint it matt black inside.
include <common.scad>

kind = "led";            // led or receiver
length = 60;             // of the bore; twice the length halves what it sees sideways
bore = 6;                // a 5 mm LED slides in up to its rim

flange = 26;
seat = 10;               // how deep the part sits in the back

assert(length / bore >= 8, "too short for its width: it sees the wall");
assert(length + seat <= m18_inside + m18_bend, "too long for the box");
assert(kind == "led" || kind == "receiver", "kind is led or receiver");

difference() {
    union() {
        cylinder(d = m18_hole - 0.5, h = length + seat);
        cylinder(d = flange, h = 3);
    }
    hole(bore, length + seat);
    if (kind == "led") translate([0, 0, length + seat - 2]) cylinder(d = 6.2, h = 3);
    else translate([-3.3, -3.8, length]) cube([6.6, 7.6, seat + 1]);
}

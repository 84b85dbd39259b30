// Holds the two reflectors opposite the sensors, at the same spacing. Slots allow 5 mm of play for aligning.
include <common.scad>

reflector = 40;          // across; more than 40 lets sensor A see reflector B
cup = 6;                 // depth of the cups
base = 4;

assert(spacing >= 80 && spacing <= 120, "spacing: 80 to 120 mm separate people from hands");
assert(reflector <= 40, "reflectors over 40 mm: each sensor sees both");
assert(spacing >= reflector + 2 * wall + 10, "the cups touch the middle screw");

size = [spacing + reflector + 2 * wall + 24, reflector + 2 * wall + 8, base];

difference() {
    union() {
        slab(size, 6);
        for (side = [-1, 1])
            translate([size.x / 2 + side * spacing / 2, size.y / 2, 0]) cylinder(d = reflector + 2 * wall, h = base + cup);
    }
    for (side = [-1, 1])
        translate([size.x / 2 + side * spacing / 2, size.y / 2, base]) cylinder(d = reflector + clearance, h = cup + 1);
    for (x = [6, size.x / 2, size.x - 6]) hull() for (dy = [-2.5, 2.5]) translate([x, size.y / 2 + dy, 0]) hole(4.5, base);
}

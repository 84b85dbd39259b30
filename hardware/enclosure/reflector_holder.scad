// Holds the two reflectors opposite the sensors, at the same spacing: flat for a wall that faces the box (the reveal of the
// door), or with a foot for the wall beside the door, as bracket.scad.
include <common.scad>

foot = 0;                // 1: with a foot
reflector = 40;          // across; more than 40 lets sensor A see reflector B
cup = 6;                 // depth of the cups
base = 4;
foot_thick = 3;

edge = reflector / 2 + wall + 12;            // from the last reflector to the end: room for a screw
first = foot ? first_beam : edge;
size = [first + spacing + edge, reflector + 2 * wall + 8, base];

assert(spacing >= 80 && spacing <= 120, "spacing: 80 to 120 mm separate people from hands");
assert(reflector <= 40, "reflectors over 40 mm: each sensor sees both");
assert(spacing >= reflector + 2 * wall + 10, "the cups touch the middle screw");
assert(first - (reflector + clearance) / 2 >= foot_thick, "a reflector touches the foot");

difference() {
    union() {
        if (foot) {
            cube(size);
            foot_plate(foot_thick, 45, size.y);
        } else slab(size, 6);
        for (i = [0, 1]) translate([first + i * spacing, size.y / 2, 0]) cylinder(d = reflector + 2 * wall, h = base + cup);
    }
    for (i = [0, 1]) translate([first + i * spacing, size.y / 2, base]) cylinder(d = reflector + clearance, h = cup + 1);
    // slots allow 5 mm of play for aligning
    if (!foot) for (x = [6, size.x / 2, size.x - 6])
        hull() for (dy = [-2.5, 2.5]) translate([x, size.y / 2 + dy, 0]) hole(4.5, base);
}
